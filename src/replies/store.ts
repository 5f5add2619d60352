import { and, desc, eq, gt, lte, ne, sql } from 'drizzle-orm'
import { alias } from 'drizzle-orm/pg-core'
import type { BotRow, BotMemory, ReplyContext, Turn } from '../bots/bot.ts'
import type { Db } from '../db/client.ts'
import { prepareQuery, rowsFrom, value } from '../db/prepared.ts'
import { chatbots, conversations, messages } from '../db/tables.ts'
import { LEFT_OUT, type FailureCode } from '../failures.ts'
import type { Cost } from './cost.ts'
import type { Message } from '../log/message.ts'
import { isMember } from '../log/membership.ts'

export type ReplyStore = ReturnType<typeof createReplyStore>

/** Where a message is in the log. */
export interface MessageKey { conversation: number, id: number }

/** The text that a reply has gained since it was last stored, which goes at `at`, in code points. `owner` is its lease's owner. */
export interface Growth extends MessageKey { owner: string, at: number, piece: string }

/** What a bot is told: what was said before its reply, oldest first, and where and by whom it is asked. */
export interface Task {
  bot: BotRow
  turns: Turn[]
  context: Pick<ReplyContext, 'conversation' | 'message' | 'user' | 'channel' | 'state'>
  /** The API key that let in the guest who asks. */
  apiKeyHash: string | null
}

/** How a reply ended, what it cost, and what its bot remembers. */
export interface Ending extends Growth {
  status: Message['status']
  error: FailureCode | null
  memory: BotMemory
  cost: Cost | null
}

/** Tokens that were added to the costs of a bot's replies. */
export interface Spent { bot: string, promptTokens: number, completionTokens: number }

/** How many messages a bot is told at most; its budget of tokens ends long before. */
const MAX_TURNS = 2_000

/** How many bots reply to one message at most: their replies stand directly behind it. */
const MAX_REPLIES = 8

const place = { conversation: messages.conversationId, id: messages.id }
const isAt = ({ conversation, id }: MessageKey) => and(eq(messages.conversationId, conversation), eq(messages.id, id))
/** Word for word as in the index `messages_under_way`, so that it is used. */
const isUnderWay = sql`${messages.status} IN ('streaming', 'queued')`

/**
 * Replies that take their time, as they are stored. Who writes one holds its lease, by the database's clock, and stores
 * nothing any more once that has lapsed.
 */
export function createReplyStore (db: Db) {
  return {
    /** What the bot is told that is to write a reply; undefined when it, or the message, is gone. */
    async task ({ conversation, id }: MessageKey): Promise<Task | undefined> {
      const { rows: [task] } = await db.$client.query<Task>({ name: 'task', text: TASK, values: [conversation, id, MAX_TURNS] })
      return task
    },

    /** Stores what has come, renews the leases, in one statement; gives those that are still the owner's, and who is to stop. */
    async flush (growing: Array<Growth & { cost: Cost | null }>): Promise<Array<{ owner: string, isToStop: boolean }>> {
      const { rows } = await db.$client.query<{ owner: string, isToStop: boolean }>(FLUSH({
        owner: growing.map(({ owner }) => owner),
        conversation: growing.map(({ conversation }) => conversation),
        id: growing.map(({ id }) => id),
        at: growing.map(({ at }) => at),
        piece: growing.map(({ piece }) => piece),
        cost: growing.map(({ cost }) => cost && JSON.stringify(cost))
      }))
      return rows
    },

    /** Ends a reply, unless its lease is another's, and records what it cost in any case. Gives the tokens that this added. */
    async finish ({ memory: { state, isFinished }, cost, ...ending }: Ending): Promise<Omit<Spent, 'bot'>> {
      const { rows: [row] } = await db.$client.query<Omit<Spent, 'bot'>>(FINISH({
        ...ending, isFinished, state: state === undefined ? null : JSON.stringify(state), cost: cost && JSON.stringify(cost)
      }))
      return row!
    },

    /**
     * Marks what was said before a reply and is refused by a content filter, so that later replies are written without
     * it. What was changed meanwhile is not marked; what says the same is.
     */
    async leaveOut ({ conversation, id }: MessageKey, turns: Turn[]) {
      await db.transaction(async tx => {
        await tx.select({ id: conversations.id }).from(conversations).where(eq(conversations.id, conversation)).for('no key update')
        await tx.execute(sql`
          UPDATE messages m SET error = ${LEFT_OUT}, rev = next_rev(${conversation})
          FROM (SELECT DISTINCT * FROM unnest(${sql.param(turns.map(({ sender }) => sender))}::sender[], ${sql.param(turns.map(({ text }) => text))}::text[])) AS said (sender, text)
          WHERE m.conversation_id = ${conversation} AND m.id < ${id} AND m.sender = said.sender AND m.text = said.text
            AND m.status NOT IN ('streaming', 'queued') AND m.error IS DISTINCT FROM ${LEFT_OUT}`)
      })
    },

    /** Begins the reply of a conversation that waits for its turn; undefined when none does, or one is under way. */
    async begin (owner: string, conversation: number): Promise<MessageKey | undefined> {
      const { rows: [row] } = await db.$client.query<{ id: number }>(BEGIN({ conversation, owner }))
      return row && { conversation, id: row.id }
    },

    /** The replies whose lease has expired, because the instance that wrote them died. */
    async lapsed (): Promise<MessageKey[]> {
      return await db.select(place).from(messages).where(and(isUnderWay, sql`${messages.leaseUntil} < now()`)).orderBy(messages.conversationId, messages.id)
    },

    /** Marks such a reply, and records what it is known to have cost; gives the tokens that this added. */
    async interrupt ({ conversation, id }: MessageKey): Promise<Spent | undefined> {
      const { rows: [spent] } = await db.$client.query<Spent>(INTERRUPT({ conversation, id }))
      return spent
    },

    /** Conversations in which a reply waits and none is under way. */
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

    /** Stops the replies to a user's messages, wherever they are written; gives the conversations. */
    async stopFor (user: number): Promise<number[]> {
      const { rows } = await db.$client.query<{ conversation: number }>(STOP_FOR({ user }))
      return rows.map(({ conversation }) => conversation)
    },

    /** Who wrote the message that a reply answers; undefined when they are gone, or the user is not in the conversation. */
    async askedBy (user: number, { conversation, id }: MessageKey): Promise<number | undefined> {
      const question = alias(messages, 'question')
      const [row] = await db.select({ author: question.userId }).from(messages)
        .innerJoin(question, and(eq(question.conversationId, messages.conversationId), eq(question.id, messages.replyTo)))
        .where(and(isAt({ conversation, id }), isMember(conversation, user)))
      return row?.author ?? undefined
    },

    /** The last reply to a message; undefined where there is none. */
    async replyTo ({ conversation, id }: MessageKey): Promise<MessageKey | undefined> {
      const [row] = await db.select(place).from(messages).where(and(
        eq(messages.conversationId, conversation), gt(messages.id, id), lte(messages.id, id + MAX_REPLIES), eq(messages.replyTo, id), ne(messages.status, 'deleted')
      )).orderBy(desc(messages.id)).limit(1)
      return row
    },

    /** The bot of a reply; undefined where there is none. */
    async botOf (reply: MessageKey): Promise<BotRow | undefined> {
      const { id, name, engine, settings } = chatbots
      const [bot] = await db.select({ id, name, engine, settings }).from(messages).innerJoin(chatbots, eq(id, messages.chatbotId)).where(isAt(reply))
      return bot
    },

    /**
     * Asks again in the row of a reply: what became of it, or null where there is no such reply for this user. `bot` is
     * the reply's bot where it streams its replies, else null.
     */
    async restart (user: number, { conversation, id }: MessageKey, owner: string | null, bot: number | null): Promise<'streaming' | 'queued' | 'busy' | 'not last' | 'too many' | null> {
      const { rows: [row] } = await db.$client.query(RESTART({ conversation, user, id, owner, bot }))
      return row.became
    }
  }
}

/**
 * What was said before a reply. A message that a content filter refused is left out, or it would be refused with every
 * later one; the message that this reply answers never is. Either its own reply says that it was refused, or, where that
 * was found out later, the message itself. `MESSAGE_REFUSED` is cleared when the reply is asked for again.
 */
const TASK = `
  WITH reply AS (
    SELECT m.id, m.conversation_id, m.chatbot_id, m.reply_to FROM messages m WHERE m.conversation_id = $1 AND m.id = $2
  ), told AS MATERIALIZED (
    SELECT id, sender, user_id, chatbot_id, text, error, reply_to FROM messages
    WHERE conversation_id = $1 AND id < $2 AND status NOT IN ('streaming', 'queued') AND (text <> '' OR error = 'MESSAGE_REFUSED')
    ORDER BY id DESC LIMIT $3
  )
  SELECT json_build_object('id', bot.id, 'name', bot.name, 'engine', bot.engine, 'settings', bot.settings) AS bot,
    (
      SELECT coalesce(json_agg(json_build_object('sender', m.sender, 'name', coalesce(u.username, u.name, b.name), 'text', m.text) ORDER BY m.id), '[]')
      FROM told m LEFT JOIN users u ON u.id = m.user_id LEFT JOIN chatbots b ON b.id = m.chatbot_id
      WHERE m.text <> '' AND (m.id = reply.reply_to OR m.error IS DISTINCT FROM '${LEFT_OUT}' AND m.id <> ALL (ARRAY(
        SELECT refused.reply_to FROM told refused WHERE refused.error = 'MESSAGE_REFUSED' AND refused.reply_to IS NOT NULL
      )))
    ) AS turns,
    json_build_object(
      'conversation', json_build_object('id', c.id, 'name', c.name),
      'message', json_build_object('id', reply.reply_to, 'replyId', reply.id),
      'user', CASE WHEN asker.id IS NOT NULL THEN json_build_object('id', asker.id, 'name', coalesce(asker.username, asker.name)) END,
      'channel', c.origin,
      'state', c.state -> bot.id::text
    ) AS context,
    asker.api_key_hash AS "apiKeyHash"
  FROM reply
  JOIN chatbots bot ON bot.id = reply.chatbot_id
  JOIN conversations c ON c.id = reply.conversation_id
  LEFT JOIN messages question ON question.conversation_id = reply.conversation_id AND question.id = reply.reply_to
  LEFT JOIN users asker ON asker.id = question.user_id`

const FLUSH = prepareQuery('flush', sql`
  UPDATE messages m
  SET text = left(m.text, grown.at) || grown.piece, lease_until = clock_timestamp() + interval '8 seconds',
    cost_so_far = coalesce(grown.cost, m.cost_so_far)
  FROM ${rowsFrom('grown', { owner: 'text', conversation: 'bigint', id: 'bigint', at: 'integer', piece: 'text', cost: 'jsonb' })}
  WHERE m.conversation_id = grown.conversation AND m.id = grown.id AND m.status = 'streaming' AND m.lease_owner = grown.owner
  RETURNING grown.owner, m.stop_requested AS "isToStop"`)

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
    in_cost => ${value('cost')}
  )`)

const BEGIN = prepareQuery('begin_reply', sql`SELECT id FROM begin_reply(in_conversation => ${value('conversation')}, in_owner => ${value('owner')})`)

const INTERRUPT = prepareQuery('interrupt_reply', sql`
  SELECT bot, ${SPENT} FROM interrupt_reply(in_conversation => ${value('conversation')}, in_id => ${value('id')})`)

const STOP = prepareQuery('stop_conversation', sql`
  SELECT stop_conversation(in_conversation => ${value('conversation')}, in_user => ${value('user')}) AS stopped`)

const STOP_FOR = prepareQuery('stop_replies_to', sql`SELECT stop_replies_to(in_author => ${value('user')}) AS conversation`)

const RESTART = prepareQuery('restart_reply', sql`
  SELECT restart_reply(
    in_conversation => ${value('conversation')},
    in_user => ${value('user')},
    in_id => ${value('id')},
    in_owner => ${value('owner')},
    in_bot => ${value('bot')}
  ) AS became`)
