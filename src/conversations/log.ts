import { createHash } from 'node:crypto'
import type pg from 'pg'
import type { Answer, BotRow } from '../bots/bot.js'
import { reasonOf, violates, type Db } from '../db/client.js'
import { BOT_BUSY, BOT_NOT_FOUND, CONVERSATION_NOT_FOUND, IDEMPOTENCY_MISMATCH, TOO_MANY_REPLIES } from '../errors.js'
import type { Message } from './schema.js'

export type Log = ReturnType<typeof createLog>

/** Where a message goes: to one conversation, or to the newest one of somebody who has proved only an address. */
export type Destination = { conversation: number } | { newestOf: 'phone' | 'whatsapp', bot: string }

export interface Incoming {
  author: { id: number, username: string | null }
  to: Destination
  text: string
  /** The author's own id for this message. */
  clientId?: string | undefined
  /** What the bots say to something that they cannot be asked about; their state stays as it is. */
  answer?: string | undefined
}

/** A conversation as its bots find it. Without an id it is yet to be begun. */
export interface Setting {
  id: number | null
  state: Record<string, unknown>
  isFinished: boolean
  bots: BotRow[]
}

/** What a bot says, or null when it takes its time. */
export interface Reply { bot: BotRow, answer: Answer | null }

/** A conversation, and what was said in it: the user's message and then the bots', some of them perhaps still being written. */
export interface Said { conversation: number, messages: Message[] }

/** The log itself: what is said goes in here, in order, once. */
export function createLog (db: Db) {
  return {
    /**
     * What the bots need to know to answer, in one query; or the answer that this client id has had already.
     * @throws CONVERSATION_NOT_FOUND, BOT_NOT_FOUND, IDEMPOTENCY_MISMATCH
     */
    async read (incoming: Incoming): Promise<{ setting: Setting } | { answered: Said }> {
      const { author, to, clientId = null } = incoming
      const query: pg.QueryConfig = 'conversation' in to
        ? { name: 'setting', text: SETTING, values: [author.id, clientId, to.conversation] }
        : { name: 'newest_setting', text: NEWEST_SETTING, values: [author.id, clientId, to.newestOf, to.bot] }
      const { rows: [row] } = await db.$client.query<Setting & First>(query)
      if (row === undefined) throw new CONVERSATION_NOT_FOUND()
      if (row.firstMessage !== null) return { answered: await repeat(incoming, row) }
      if (row.bots === null) throw new BOT_NOT_FOUND()
      return { setting: row }
    },

    /**
     * Stores a message, its instant replies and what the bots remember now, in one statement, or nothing at all.
     * A reply that takes its time is begun, its lease `owner`'s, or waits for its turn. Undefined when somebody else came
     * first, so that the bots should be asked again, or the author may no longer write.
     * @throws BOT_BUSY, TOO_MANY_REPLIES
     */
    async append ({ author, to, text, clientId }: Incoming, setting: Setting, replies: Reply[], owner: string | null): Promise<Said | undefined> {
      const state = { ...setting.state }
      for (const { bot, answer } of replies) if (answer?.state !== undefined) state[bot.id] = answer.state
      const scripts = replies.flatMap(({ answer }) => answer?.isFinished ?? [])
      const isFinished = scripts.length === 0 ? setting.isFinished : scripts.includes(true)
      const appended = [
        author.id, text, clientId, clientId && hashOf(text),
        replies.map(({ bot }) => bot.id), replies.map(({ answer }) => answer?.text ?? null),
        JSON.stringify(setting.state), JSON.stringify(state), isFinished, owner
      ]
      const query: pg.QueryConfig = setting.id !== null || 'conversation' in to
        ? { name: 'append', text: APPEND, values: [...appended, setting.id] }
        : { name: 'begin', text: BEGIN, values: [...appended, to.newestOf, to.bot, setting.bots[0]!.id] }
      const { rows: [stored] } = await db.$client.query<Stored>(query).catch(unlessRefused)
      if (stored === undefined) return undefined
      const { conversation, id, created_at, statuses } = stored
      const question: Message = { id, rev: id, sender: 'user', username: author.username, text, status: 'complete', created_at }
      const answers = replies.map(({ bot, answer }, nth): Message => {
        const place = id + 1 + nth
        return { id: place, rev: place, sender: 'bot', username: bot.name, text: answer?.text ?? '', status: statuses[nth + 1]!, created_at }
      })
      return { conversation, messages: [question, ...answers] }
    }
  }

  /** The first answer to a client id, read back; the message and what stands behind it as its replies. */
  async function repeat ({ to, text }: Incoming, first: First): Promise<Said> {
    const isElsewhere = 'conversation' in to && to.conversation !== first.firstConversation
    if (isElsewhere || first.firstHash !== hashOf(text)) throw new IDEMPOTENCY_MISMATCH()
    const { rows } = await db.$client.query<Message>({ name: 'repeat', text: REPEAT, values: [first.firstConversation, first.firstMessage] })
    return { conversation: first.firstConversation!, messages: rows }
  }
}

interface Stored { conversation: number, id: number, created_at: Date, statuses: Array<Message['status']> }

interface First { firstConversation: number | null, firstMessage: number | null, firstHash: string | null }

/** Raced by a request with the same client id: nothing was stored, and the next reading finds what the other one did. */
function unlessRefused (error: unknown): { rows: [] } {
  if (violates(error, 'messages_client_id')) return { rows: [] }
  const { code } = reasonOf(error)
  if (code === 'PB001') throw new BOT_BUSY()
  if (code === 'PB002') throw new TOO_MANY_REPLIES()
  throw error
}

function hashOf (text: string) {
  return createHash('sha256').update(text).digest('base64url')
}

const FIRST = `
  first.conversation_id AS "firstConversation", first.id AS "firstMessage", first.client_text_hash AS "firstHash"`

const BOT = "json_build_object('id', b.id, 'name', b.name, 'engine', b.engine, 'settings', b.settings)"

const BOTS = `coalesce(
  (SELECT json_agg(${BOT} ORDER BY b.id)
   FROM conversation_bots cb JOIN chatbots b ON b.id = cb.chatbot_id WHERE cb.conversation_id = c.id), '[]') AS bots`

const SETTING = `
  SELECT c.id, c.state, c.is_finished AS "isFinished", ${BOTS}, ${FIRST}
  FROM conversation_users cu
  JOIN conversations c ON c.id = cu.conversation_id
  LEFT JOIN messages first ON first.user_id = $1 AND first.client_id = $2::text
  WHERE cu.user_id = $1 AND cu.conversation_id = $3`

/**
 * The bot comes from the conversation, or is the one that would begin it. On WhatsApp a conversation that was quiet for
 * 12 hours is over: the next one is begun as if it were not there, by `begin_conversation`, which finishes it.
 */
const NEWEST_SETTING = `
  SELECT c.id, coalesce(c.state, '{}') AS state, coalesce(c.is_finished, false) AS "isFinished", ${FIRST},
    (SELECT json_agg(${BOT}) FROM chatbots b WHERE b.name = $4) AS bots
  FROM (VALUES (1)) one
  LEFT JOIN LATERAL (
    SELECT * FROM conversations
    WHERE owner_id = $1 AND origin = $3::origin AND (origin <> 'whatsapp' OR last_updated > now() - interval '12 hours')
    ORDER BY id DESC LIMIT 1
  ) c ON true
  LEFT JOIN messages first ON first.user_id = $1 AND first.client_id = $2::text`

const APPEND = 'SELECT $11::bigint AS conversation, id, created_at, statuses FROM append_message($11, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10)'

const BEGIN = `
  SELECT begun.id AS conversation, a.id, a.created_at, a.statuses
  FROM begin_conversation($1, $11, $12, $13) AS begun (id),
    append_message(begun.id, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10) a`

/** A message as everybody sees it, of `messages m`. */
export const MESSAGE = 'm.id, m.rev, m.sender, coalesce(u.username, b.name) AS username, m.text, m.status, m.created_at'
export const FROM_MESSAGES = 'FROM messages m LEFT JOIN users u ON u.id = m.user_id LEFT JOIN chatbots b ON b.id = m.chatbot_id'

const REPEAT = `
  SELECT ${MESSAGE} ${FROM_MESSAGES}
  WHERE m.conversation_id = $1 AND (m.id = $2 OR (m.reply_to = $2 AND m.id > $2 AND m.id <= $2 + 100))
  ORDER BY m.id`
