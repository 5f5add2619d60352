import { createHash } from 'node:crypto'
import type { Answer, BotRow } from '../bots/bot.ts'
import { createCoalescer } from '../db/batch.ts'
import { reasonOf, violates, type Db } from '../db/client.ts'
import type { ContactOrigin } from '../enums.ts'
import { ACCOUNT_LOCKED, BOT_BUSY, BOT_NOT_FOUND, CONVERSATION_NOT_FOUND, IDEMPOTENCY_MISMATCH, TOO_MANY_REPLIES, UNAUTHORIZED } from '../errors.ts'
import type { Part } from '../text/message-parts.ts'
import { createAppendStore, type Addition } from './append-store.ts'
import { FROM_MESSAGES, MESSAGE, shown, type Message, type MessageRow } from './message.ts'

export type Log = ReturnType<typeof createLog>

/** Where a message goes: to one conversation, or to the newest one of a contact without an account. */
export type Destination = { conversation: number } | { newestOf: ContactOrigin, bot: string }

export interface Incoming {
  author: { id: number, username: string | null, name?: string | null }
  to: Destination
  text: string
  /** The client's name of the text's field, for errors. Default: `text`. */
  field?: string | undefined
  /** The author's own id for this message. */
  clientId?: string | undefined
  /** The parts of the message, if it is more than `text`. `text` then has the same in plain words. */
  parts?: Part[] | undefined
  /** The client's own object for this message. */
  metadata?: Record<string, unknown> | undefined
  /** A fixed reply instead of the bots' own, for a message that they cannot read. Their state does not change. */
  answer?: string | undefined
  /** The name of the only bot to ask, whatever the text mentions. Left out: the bots that the text mentions. */
  bot?: string | undefined
}

/** A conversation as its bots see it. `id` is null when it does not exist yet. */
export interface Setting {
  id: number | null
  state: Record<string, unknown>
  isFinished: boolean
  /** The number of the conversation's last change. Null when the conversation does not exist yet, or is a contact's. */
  lastRev: number | null
  bots: BotRow[]
  /** Whether the author has a daily budget of their own. */
  hasBudget: boolean
}

/** A bot's answer; null when the bot streams it later. */
export interface Reply { bot: BotRow, answer: Answer | null }

/** A user's message and then the bots' replies to it, some of which may still be streaming. */
export interface Exchange { conversation: number, messages: Message[] }

/** The log: every message is appended here, in order, once. */
export function createLog (db: Db) {
  const store = createAppendStore(db)
  const settings = readTogether<[author: number, clientId: string | null, conversation: number]>({ name: 'setting', text: SETTING })
  const newestSettings = readTogether<[author: number, clientId: string | null, origin: string, bot: string]>({ name: 'newest_setting', text: NEWEST_SETTING })

  /** A batched query: takes one array for each value, and gives at most one row for each index, with the index as `nth`. */
  function readTogether<Values extends unknown[]> (query: { name: string, text: string }) {
    return createCoalescer(async (items: Values[]) => {
      const { rows } = await db.$client.query<Setting & First & { nth: number, isLocked?: boolean }>({ ...query, values: items[0]!.map((_, column) => items.map(item => item[column])) })
      const found = new Map(rows.map(row => [row.nth, row]))
      return items.map((_, index) => found.get(index + 1))
    }, { most: 64 })
  }

  return {
    /**
     * Reads what the bots need to answer, in one query; or the earlier answer to the same client id.
     * @throws CONVERSATION_NOT_FOUND, BOT_NOT_FOUND, IDEMPOTENCY_MISMATCH; ACCOUNT_LOCKED for a phone or contact that is locked
     */
    async read (incoming: Incoming): Promise<{ setting: Setting } | { answered: Exchange }> {
      const { author, to, clientId = null } = incoming
      const row = await ('conversation' in to
        ? settings([author.id, clientId, to.conversation])
        : newestSettings([author.id, clientId, to.newestOf, to.bot]))
      if (row === undefined) throw new CONVERSATION_NOT_FOUND()
      if (row.isLocked) throw new ACCOUNT_LOCKED()
      if (row.firstMessage !== null) return { answered: await repeat(incoming, row) }
      if (row.bots === null) throw new BOT_NOT_FOUND()
      return { setting: row }
    },

    /**
     * The message with this client id of the author, whatever its text, with its replies as they are now. Undefined when
     * there is none.
     */
    async recall (author: number, clientId: string): Promise<Exchange | undefined> {
      const { rows: [first] } = await db.$client.query<{ conversation: number, id: number }>({ name: 'recall', text: RECALL, values: [author, clientId] })
      return first && { conversation: first.conversation, messages: await readBack(first.conversation, first.id) }
    },

    /**
     * Stores a message, its instant replies and the bots' new state in one statement, or nothing at all. A streamed reply
     * is begun with a lease of `owner`, or queued. Gives undefined when another message came first, so that the bots must
     * be asked again, or when the author may no longer write.
     * @throws BOT_BUSY, TOO_MANY_REPLIES; UNAUTHORIZED when the author was locked meanwhile, ACCOUNT_LOCKED for a phone or contact
     */
    async append ({ author, to, text, clientId, parts, metadata }: Incoming, setting: Setting, replies: Reply[], owner: string | null): Promise<Exchange | undefined> {
      const state = { ...setting.state }
      for (const { bot, answer } of replies) if (answer?.state !== undefined) state[bot.id] = answer.state
      const scripts = replies.flatMap(({ answer }) => answer?.isFinished ?? [])
      const isFinished = scripts.length === 0 ? null : scripts.includes(true)
      const addition: Addition = {
        author: author.id,
        text,
        clientId: clientId ?? null,
        textHash: clientId === undefined ? null : hashOf(text),
        parts: parts === undefined ? null : JSON.stringify(parts),
        metadata: metadata === undefined ? null : JSON.stringify(metadata),
        replies: replies.map(({ bot, answer }) => ({ bot: bot.id, text: answer?.text ?? null })),
        oldState: JSON.stringify(setting.state),
        newState: JSON.stringify(state),
        isFinished,
        owner
      }
      const stored = await (setting.id === null && 'newestOf' in to
        ? store.begin({ newestOf: to.newestOf, bot: setting.bots[0]! }, addition)
        : store.append(setting.id!, addition)).catch(error => undefinedIfRaced(error, to))
      if (stored === undefined) return undefined
      const { conversation, id, created_at, statuses } = stored
      const question: Message = { id, rev: id, sender: 'user', username: author.username ?? author.name ?? null, text, status: 'complete', created_at, ...parts && { parts }, ...metadata && { metadata } }
      const answers = replies.map(({ bot, answer }, nth): Message => {
        const place = id + 1 + nth
        return { id: place, rev: place, sender: 'bot', username: bot.name, text: answer?.text ?? '', status: statuses[nth + 1]!, created_at }
      })
      return { conversation, messages: [question, ...answers] }
    }
  }

  /** Reads the first answer to a client id: the message and the replies that follow it. */
  async function repeat ({ to, text }: Incoming, first: First): Promise<Exchange> {
    const isElsewhere = 'conversation' in to && to.conversation !== first.firstConversation
    if (isElsewhere || first.firstHash !== hashOf(text)) throw new IDEMPOTENCY_MISMATCH()
    return { conversation: first.firstConversation!, messages: await readBack(first.firstConversation!, first.firstMessage!) }
  }

  async function readBack (conversation: number, id: number) {
    const { rows } = await db.$client.query<MessageRow>({ name: 'repeat', text: REPEAT, values: [conversation, id] })
    return rows.map(shown)
  }
}

interface First { firstConversation: number | null, firstMessage: number | null, firstHash: string | null }

/** A request with the same client id was first. Nothing was stored, and the next read finds what the other one stored. */
function undefinedIfRaced (error: unknown, to: Destination): undefined {
  if (violates(error, 'messages_client_id')) return undefined
  const { code } = reasonOf(error)
  if (code === 'PB001') throw new BOT_BUSY()
  if (code === 'PB002') throw new TOO_MANY_REPLIES()
  if (code === 'PB003') throw 'newestOf' in to ? new ACCOUNT_LOCKED() : new UNAUTHORIZED() // the sessions of a user have ended
  throw error
}

function hashOf (text: string) {
  return createHash('sha256').update(text).digest('base64url')
}

const FIRST = `
  first.conversation_id AS "firstConversation", first.id AS "firstMessage", first.client_text_hash AS "firstHash"`

const HAS_BUDGET = 'EXISTS (SELECT FROM users u WHERE u.id = asked.author AND u.budget_tokens IS NOT NULL) AS "hasBudget"'

const BOT = "json_build_object('id', b.id, 'name', b.name, 'engine', b.engine, 'settings', b.settings)"

const BOTS = `coalesce(
  (SELECT json_agg(${BOT} ORDER BY b.id)
   FROM conversation_bots cb JOIN chatbots b ON b.id = cb.chatbot_id WHERE cb.conversation_id = c.id), '[]') AS bots`

const SETTING = `
  SELECT asked.nth::integer, c.id, c.state, c.is_finished AS "isFinished", c.last_rev AS "lastRev", ${BOTS}, ${FIRST}, ${HAS_BUDGET}
  FROM unnest($1::bigint[], $2::text[], $3::bigint[]) WITH ORDINALITY AS asked (author, client_id, conversation, nth)
  JOIN conversation_users cu ON cu.user_id = asked.author AND cu.conversation_id = asked.conversation
  JOIN conversations c ON c.id = cu.conversation_id
  LEFT JOIN messages first ON first.user_id = asked.author AND first.client_id = asked.client_id`

/**
 * For contacts. They have one unfinished conversation, or else the newest one counts. The unfinished one is not always the newest:
 * a reply that ends late may make an earlier conversation unfinished again, and none can be begun then. When that conversation is
 * over, `begin_conversation` finishes it and begins another. A contact has no session that could end when the account is
 * locked, so the lock is checked here.
 */
const NEWEST_SETTING = `
  SELECT asked.nth::integer, c.id, coalesce(c.state, '{}') AS state, coalesce(c.is_finished, false) AS "isFinished", NULL::bigint AS "lastRev", ${FIRST}, ${HAS_BUDGET},
    (SELECT json_agg(${BOT}) FROM chatbots b WHERE b.name = asked.bot) AS bots,
    EXISTS (SELECT FROM users u WHERE u.id = asked.author AND u.locked_at IS NOT NULL) AS "isLocked"
  FROM unnest($1::bigint[], $2::text[], $3::origin[], $4::text[]) WITH ORDINALITY AS asked (author, client_id, origin, bot, nth)
  LEFT JOIN LATERAL (
    SELECT * FROM (
      (SELECT * FROM conversations WHERE owner_id = asked.author AND is_contact_origin(origin) AND NOT is_finished)
      UNION ALL
      (
        SELECT * FROM conversations
        WHERE owner_id = asked.author AND origin = asked.origin AND NOT is_conversation_over(origin, last_updated)
        ORDER BY id DESC LIMIT 1
      )
    ) present
    WHERE origin = asked.origin AND NOT is_conversation_over(origin, last_updated)
    ORDER BY is_finished, id DESC LIMIT 1
  ) c ON true
  LEFT JOIN messages first ON first.user_id = asked.author AND first.client_id = asked.client_id`

const RECALL = 'SELECT conversation_id AS conversation, id FROM messages WHERE user_id = $1 AND client_id = $2'

const REPEAT = `
  SELECT ${MESSAGE} ${FROM_MESSAGES}
  WHERE m.conversation_id = $1 AND (m.id = $2 OR (m.reply_to = $2 AND m.id > $2 AND m.id <= $2 + 100))
  ORDER BY m.id`
