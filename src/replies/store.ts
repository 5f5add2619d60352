import { and, desc, eq, gt, lte, ne, sql, type Placeholder, type SQL } from 'drizzle-orm'
import { alias } from 'drizzle-orm/pg-core'
import type { BotRow, BotMemory, Turn } from '../bots/bot.ts'
import type { Db, Transaction } from '../db/client.ts'
import { prepareQuery, rowsFrom, value } from '../db/prepared.ts'
import { chatbots, conversations, messages } from '../db/tables.ts'
import { BOT_BUSY, MESSAGE_NOT_FOUND, NOT_THE_LAST_REPLY, TOO_MANY_REPLIES, UNAUTHORIZED } from '../errors.ts'
import { LEFT_OUT, type FailureCode } from '../failures.ts'
import type { Part } from '../text/message-parts.ts'
import type { Cost } from './cost.ts'
import type { Message } from '../log/message.ts'
import { isMember } from '../log/membership.ts'

export type ReplyStore = ReturnType<typeof createReplyStore>

/** A message in the log. */
export interface MessageKey { conversation: number, id: number }

/**
 * The text that a reply has gained since it was last stored. `at` is its position in code points, `owner` the owner of the
 * lease. `parts` are all of them if the reply is more than a text and they have changed, else null.
 */
export interface Growth extends MessageKey { owner: string, at: number, piece: string, parts: Part[] | null }

type GrowthAndCost = Growth & { cost: Cost | null }

/** A reply whose lease holds. */
interface Flushed { owner: string, isToStop: boolean }

/** How a reply ended, its cost, and the bot's state after it. */
export interface Ending extends Growth {
  status: Message['status']
  error: FailureCode | null
  memory: BotMemory
  cost: Cost | null
}

/** What becomes of an attempt at a reply. */
export type AttemptStatus = 'complete' | 'stopped' | 'interrupted' | 'failed'

/** Tokens that were added to the costs of a bot's replies. */
export interface Spent { bot: string, promptTokens: number, completionTokens: number }

/** How many bots reply to one message at most. Their replies directly follow it. */
const MAX_REPLIES = 8

const place = { conversation: messages.conversationId, id: messages.id }
const isAt = ({ conversation, id }: MessageKey) => and(eq(messages.conversationId, conversation), eq(messages.id, id))
/** The exact condition of the index `messages_under_way`, so that Postgres uses it. */
const isUnderWay = sql`${messages.status} IN ('streaming', 'queued')`

/**
 * Streamed replies in the database. The instance that writes a reply holds its lease, by the database's clock. Once the lease
 * has expired, another instance may have ended the reply, so nothing more can be stored.
 */
export function createReplyStore (db: Db) {
  async function flushTogether (query: typeof FLUSH, growing: GrowthAndCost[]) {
    const { rows } = await db.$client.query<Flushed>(query({
      owner: growing.map(({ owner }) => owner),
      conversation: growing.map(({ conversation }) => conversation),
      id: growing.map(({ id }) => id),
      at: growing.map(({ at }) => at),
      piece: growing.map(({ piece }) => piece),
      parts: growing.map(({ parts }) => parts && JSON.stringify(parts)),
      cost: growing.map(({ cost }) => cost && JSON.stringify(cost))
    }))
    return rows
  }

  return {
    /**
     * Stores new text and renews the leases. Returns the replies whose lease still holds, and which of them to stop.
     *
     * One statement stores all replies whose rows nobody else has locked. Each of the others is stored by a statement of its own. A
     * single statement for all could deadlock: while it waits for one row, it keeps the rows that it has changed already locked, and
     * another transaction, such as that of `stopFor`, may lock the same rows in another order.
     */
    async flush (growing: GrowthAndCost[]): Promise<Flushed[]> {
      const stored = growing.length > 1 ? await flushTogether(FLUSH_FREE, growing) : []
      const owners = new Set(stored.map(({ owner }) => owner))
      for (const one of growing) if (!owners.has(one.owner)) stored.push(...await flushTogether(FLUSH, [one]))
      return stored
    },

    /** Ends a reply, unless its lease was lost, and records its cost in any case. Returns the tokens that were added to the costs. */
    async finish ({ memory: { state, isFinished }, parts, cost, ...ending }: Ending): Promise<Omit<Spent, 'bot'>> {
      const { rows: [row] } = await db.$client.query<Omit<Spent, 'bot'>>(FINISH({
        ...ending, isFinished, parts: parts && JSON.stringify(parts), state: state === undefined ? null : JSON.stringify(state), cost: cost && JSON.stringify(cost)
      }))
      return row!
    },

    /**
     * Marks the messages before a reply that a content filter refuses, so that later replies leave them out. They are found by
     * their text: a message that was edited meanwhile is not marked, and others with the same text are.
     */
    async leaveOut ({ conversation, id }: MessageKey, turns: Turn[]) {
      await db.transaction(async tx => {
        await tx.select({ id: conversations.id }).from(conversations).where(eq(conversations.id, conversation)).for('no key update')
        const refused = sql`m.conversation_id = ${conversation} AND m.id < ${id} AND m.status NOT IN ('streaming', 'queued') AND m.error IS DISTINCT FROM ${LEFT_OUT}
          AND (m.sender, m.text) IN (SELECT * FROM unnest(${sql.param(turns.map(({ sender }) => sender))}::sender[], ${sql.param(turns.map(({ text }) => text))}::text[]))`
        await tx.execute(sql`SELECT FROM messages m WHERE ${refused} FOR NO KEY UPDATE`)
        await tx.execute(sql`UPDATE messages m SET error = ${LEFT_OUT}, rev = next_rev(${conversation}) WHERE ${refused}`)
      })
    },

    /** Records the cost of an attempt at a reply that is not stored, or updates it. Returns the tokens that were added to the costs. */
    async recordCost (attempt: string, status: AttemptStatus, cost: Cost): Promise<Omit<Spent, 'bot'>> {
      const { rows: [row] } = await db.$client.query<Omit<Spent, 'bot'>>(RECORD_COST({ attempt, status, cost: JSON.stringify(cost) }))
      return row!
    },

    /** How many replies to a user's messages are streaming or queued, in all conversations and on all instances. */
    async underWay (user: number): Promise<number> {
      const { rows: [row] } = await db.$client.query<{ count: number }>(UNDER_WAY({ user }))
      return row!.count
    },

    /** Begins the oldest queued reply of a conversation; undefined when there is none, or when another one is under way. */
    async begin (owner: string, conversation: number): Promise<MessageKey | undefined> {
      const { rows: [row] } = await db.$client.query<{ id: number }>(BEGIN({ conversation, owner }))
      return row && { conversation, id: row.id }
    },

    /** The replies whose lease has expired, because the instance that wrote them died. */
    async lapsed (): Promise<MessageKey[]> {
      return await db.select(place).from(messages).where(and(isUnderWay, sql`${messages.leaseUntil} < now()`)).orderBy(messages.conversationId, messages.id)
    },

    /** Marks such a reply as interrupted and records its known cost. Returns the tokens that were added to the costs. */
    async interrupt ({ conversation, id }: MessageKey): Promise<Spent | undefined> {
      const { rows: [spent] } = await db.$client.query<Spent>(INTERRUPT({ conversation, id }))
      return spent
    },

    /** Returns conversations in which a reply is queued and none is streaming. */
    async waiting (most: number): Promise<number[]> {
      const waiting = await db.select({ conversation: messages.conversationId }).from(messages).where(isUnderWay)
        .groupBy(messages.conversationId).having(sql`bool_and(${messages.status} = 'queued')`).orderBy(sql`min(${messages.createdAt})`).limit(most)
      return waiting.map(({ conversation }) => conversation)
    },

    /** Asks the instance that writes replies in this conversation to stop them. False when the user is not a member. */
    async stop (user: number, conversation: number): Promise<boolean> {
      const { rows: [row] } = await db.$client.query<{ stopped: boolean }>(STOP({ conversation, user }))
      return row!.stopped
    },

    /** Stops the replies to a user's messages, on all instances. Returns the conversations. */
    async stopFor (user: number): Promise<number[]> {
      const { rows } = await db.$client.query<{ conversation: number }>(STOP_FOR({ user }))
      return rows.map(({ conversation }) => conversation)
    },

    /** Returns the author of the message that a reply answers; undefined when they were deleted, or the user is not in the conversation. */
    async askedBy (user: number, { conversation, id }: MessageKey): Promise<number | undefined> {
      const question = alias(messages, 'question')
      const [row] = await db.select({ author: question.userId }).from(messages)
        .innerJoin(question, and(eq(question.conversationId, messages.conversationId), eq(question.id, messages.replyTo)))
        .where(and(isAt({ conversation, id }), isMember(conversation, user)))
      return row?.author ?? undefined
    },

    /** Returns the last reply to a message; undefined if there is none. */
    async replyTo ({ conversation, id }: MessageKey): Promise<MessageKey | undefined> {
      const [row] = await db.select(place).from(messages).where(and(
        eq(messages.conversationId, conversation), gt(messages.id, id), lte(messages.id, id + MAX_REPLIES), eq(messages.replyTo, id), ne(messages.status, 'deleted')
      )).orderBy(desc(messages.id)).limit(1)
      return row
    },

    /** Returns the bot of a reply; undefined if there is none. */
    async botOf (reply: MessageKey): Promise<BotRow | undefined> {
      const { id, name, engine, settings } = chatbots
      const [bot] = await db.select({ id, name, engine, settings }).from(messages).innerJoin(chatbots, eq(id, messages.chatbotId)).where(isAt(reply))
      return bot
    },

    /**
     * Generates a reply again, in the same row. `bot` is the reply's bot if it streams its replies, else null. `first` is
     * what to change before that in the same transaction: if the reply is refused, nothing is changed.
     * @throws MESSAGE_NOT_FOUND when this user has no such reply, BOT_BUSY, NOT_THE_LAST_REPLY, TOO_MANY_REPLIES, UNAUTHORIZED when
     * the user was locked meanwhile, and what `first` throws
     */
    async restart (user: number, { conversation, id }: MessageKey, owner: string | null, bot: number | null, first?: (tx: Transaction) => Promise<void>) {
      if (first === undefined) {
        const { rows: [row] } = await db.$client.query(RESTART({ conversation, user, id, owner, bot }))
        return refuseUnless(row.became)
      }
      await db.transaction(async tx => {
        await first(tx)
        const { rows: [row] } = await tx.execute<Restarted>(restartReply({ conversation, user, id, owner, bot }))
        refuseUnless(row!.became)
      })
    }
  }
}

type Restarted = { became: 'streaming' | 'queued' | 'busy' | 'not last' | 'locked' | 'too many' | null }

function refuseUnless (became: Restarted['became']) {
  if (became === null) throw new MESSAGE_NOT_FOUND()
  if (became === 'busy') throw new BOT_BUSY()
  if (became === 'not last') throw new NOT_THE_LAST_REPLY()
  if (became === 'locked') throw new UNAUTHORIZED()
  if (became === 'too many') throw new TOO_MANY_REPLIES()
}

const GROWN = rowsFrom('grown', { owner: 'text', conversation: 'bigint', id: 'bigint', at: 'integer', piece: 'text', parts: 'json', cost: 'jsonb' })
const IS_GROWN = sql`m.conversation_id = grown.conversation AND m.id = grown.id AND m.status = 'streaming' AND m.lease_owner = grown.owner`

const flushFrom = (grown: SQL) => sql`
  UPDATE messages m
  SET text = left(m.text, grown.at) || grown.piece, lease_until = clock_timestamp() + interval '8 seconds',
    parts = coalesce(grown.parts, m.parts), cost_so_far = coalesce(grown.cost, m.cost_so_far)
  FROM ${grown}
  WHERE ${IS_GROWN}
  RETURNING grown.owner, m.stop_requested AS "isToStop"`

const FLUSH = prepareQuery('flush', flushFrom(GROWN))

/** The same for those rows that nobody else has locked. */
const FLUSH_FREE = prepareQuery('flush_free', flushFrom(sql`(
    SELECT grown.* FROM ${GROWN} JOIN messages m ON ${IS_GROWN}
    FOR NO KEY UPDATE OF m SKIP LOCKED
  ) grown`))

const SPENT = sql`prompt_tokens AS "promptTokens", completion_tokens AS "completionTokens"`

const FINISH = prepareQuery('finish_reply', sql`
  SELECT ${SPENT} FROM finish_reply(
    in_conversation => ${value('conversation')},
    in_id => ${value('id')},
    in_owner => ${value('owner')},
    in_status => ${value('status')},
    in_at => ${value('at')},
    in_piece => ${value('piece')},
    in_error => ${value('error')},
    in_state => ${value('state')},
    in_finished => ${value('isFinished')},
    in_cost => ${value('cost')},
    in_parts => ${value('parts')}
  )`)

const RECORD_COST = prepareQuery('record_cost', sql`
  SELECT ${SPENT} FROM record_cost(
    in_conversation => NULL,
    in_id => NULL,
    in_attempt => ${value('attempt')},
    in_status => ${value('status')},
    in_cost => ${value('cost')}
  )`)

const UNDER_WAY = prepareQuery('replies_under_way', sql`SELECT replies_under_way(in_author => ${value('user')})::integer AS count`)

const BEGIN = prepareQuery('begin_reply', sql`SELECT id FROM begin_reply(in_conversation => ${value('conversation')}, in_owner => ${value('owner')})`)

const INTERRUPT = prepareQuery('interrupt_reply', sql`
  SELECT bot, ${SPENT} FROM interrupt_reply(in_conversation => ${value('conversation')}, in_id => ${value('id')})`)

const STOP = prepareQuery('stop_conversation', sql`
  SELECT stop_conversation(in_conversation => ${value('conversation')}, in_user => ${value('user')}) AS stopped`)

const STOP_FOR = prepareQuery('stop_replies_to', sql`SELECT stop_replies_to(in_author => ${value('user')}) AS conversation`)

const restartReply = (values: Record<'conversation' | 'user' | 'id' | 'owner' | 'bot', Placeholder | string | number | null>) => sql`
  SELECT restart_reply(
    in_conversation => ${values.conversation},
    in_user => ${values.user},
    in_id => ${values.id},
    in_owner => ${values.owner},
    in_bot => ${values.bot}
  ) AS became`

const RESTART = prepareQuery('restart_reply', restartReply({
  conversation: value('conversation'), user: value('user'), id: value('id'), owner: value('owner'), bot: value('bot')
}))
