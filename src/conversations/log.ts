import { createHash } from 'node:crypto'
import type { Answer, BotRow } from '../bots/bot.js'
import { createCoalescer } from '../db/coalesce.js'
import { jsonTime, reasonOf, violates, type Db } from '../db/client.js'
import { BOT_BUSY, BOT_NOT_FOUND, CONVERSATION_NOT_FOUND, IDEMPOTENCY_MISMATCH, TOO_MANY_REPLIES } from '../errors.js'
import { createAppendStore, type Addition } from './append-store.js'
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
  const store = createAppendStore(db)
  const settings = readTogether<[author: number, clientId: string | null, conversation: number]>({ name: 'setting', text: SETTING })
  const newestSettings = readTogether<[author: number, clientId: string | null, origin: string, bot: string]>({ name: 'newest_setting', text: NEWEST_SETTING })

  /** A query that takes an array for each of these values, and gives a row, or none, for each place in them, by its number. */
  function readTogether<Values extends unknown[]> (query: { name: string, text: string }) {
    return createCoalescer(async (items: Values[]) => {
      const { rows } = await db.$client.query<Setting & First & { nth: number }>({ ...query, values: items[0]!.map((_, column) => items.map(item => item[column])) })
      const found = new Map(rows.map(row => [row.nth, row]))
      return items.map((_, index) => found.get(index + 1))
    }, { most: 64 })
  }

  return {
    /**
     * What the bots need to know to answer, in one query; or the answer that this client id has had already.
     * @throws CONVERSATION_NOT_FOUND, BOT_NOT_FOUND, IDEMPOTENCY_MISMATCH
     */
    async read (incoming: Incoming): Promise<{ setting: Setting } | { answered: Said }> {
      const { author, to, clientId = null } = incoming
      const row = await ('conversation' in to
        ? settings([author.id, clientId, to.conversation])
        : newestSettings([author.id, clientId, to.newestOf, to.bot]))
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
      const addition: Addition = {
        author: author.id,
        text,
        clientId: clientId ?? null,
        textHash: clientId === undefined ? null : hashOf(text),
        replies: replies.map(({ bot, answer }) => ({ bot: bot.id, text: answer?.text ?? null })),
        oldState: JSON.stringify(setting.state),
        newState: JSON.stringify(state),
        isFinished,
        owner
      }
      const stored = await (setting.id === null && 'newestOf' in to
        ? store.begin({ newestOf: to.newestOf, bot: setting.bots[0]! }, addition)
        : store.append(setting.id!, addition)).catch(unlessRefused)
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

interface First { firstConversation: number | null, firstMessage: number | null, firstHash: string | null }

/** Raced by a request with the same client id: nothing was stored, and the next reading finds what the other one did. */
function unlessRefused (error: unknown): undefined {
  if (violates(error, 'messages_client_id')) return undefined
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
  SELECT asked.nth::integer, c.id, c.state, c.is_finished AS "isFinished", ${BOTS}, ${FIRST}
  FROM unnest($1::bigint[], $2::text[], $3::bigint[]) WITH ORDINALITY AS asked (author, client_id, conversation, nth)
  JOIN conversation_users cu ON cu.user_id = asked.author AND cu.conversation_id = asked.conversation
  JOIN conversations c ON c.id = cu.conversation_id
  LEFT JOIN messages first ON first.user_id = asked.author AND first.client_id = asked.client_id`

/**
 * The bot comes from the conversation, or is the one that would begin it. On WhatsApp a conversation that was quiet for
 * 12 hours is over: the next one is begun as if it were not there, by `begin_conversation`, which finishes it.
 */
const NEWEST_SETTING = `
  SELECT asked.nth::integer, c.id, coalesce(c.state, '{}') AS state, coalesce(c.is_finished, false) AS "isFinished", ${FIRST},
    (SELECT json_agg(${BOT}) FROM chatbots b WHERE b.name = asked.bot) AS bots
  FROM unnest($1::bigint[], $2::text[], $3::origin[], $4::text[]) WITH ORDINALITY AS asked (author, client_id, origin, bot, nth)
  LEFT JOIN LATERAL (
    SELECT * FROM conversations
    WHERE owner_id = asked.author AND origin = asked.origin AND (origin <> 'whatsapp' OR last_updated > now() - interval '12 hours')
    ORDER BY id DESC LIMIT 1
  ) c ON true
  LEFT JOIN messages first ON first.user_id = asked.author AND first.client_id = asked.client_id`

/** A message as everybody sees it, of `messages m`. */
export const MESSAGE = 'm.id, m.rev, m.sender, coalesce(u.username, b.name) AS username, m.text, m.status, m.created_at'
/** The same, where Postgres writes it as JSON: a page of rows costs several times as much here. */
export const MESSAGE_FOR_JSON = MESSAGE.replace('m.created_at', `${jsonTime('m.created_at')} AS created_at`)
export const FROM_MESSAGES = 'FROM messages m LEFT JOIN users u ON u.id = m.user_id LEFT JOIN chatbots b ON b.id = m.chatbot_id'

const REPEAT = `
  SELECT ${MESSAGE} ${FROM_MESSAGES}
  WHERE m.conversation_id = $1 AND (m.id = $2 OR (m.reply_to = $2 AND m.id > $2 AND m.id <= $2 + 100))
  ORDER BY m.id`
