import { sql, type SQL, type Placeholder } from 'drizzle-orm'
import type pg from 'pg'
import { createCoalescer } from '../db/batch.ts'
import { wasRefused, type Db } from '../db/client.ts'
import { prepareQuery, value } from '../db/prepared.ts'
import { users } from '../db/tables.ts'
import type { ContactOrigin } from '../enums.ts'
import type { Message } from './message.ts'

/** A user's message with its replies; a reply's text is null when the bot will stream it. The states are the bots' memory before and after. */
export interface Addition {
  author: number
  text: string
  clientId: string | null
  textHash: string | null
  /** JSON; null for none. */
  metadata: string | null
  parts: string | null
  replies: Array<{ bot: number, text: string | null }>
  oldState: string
  newState: string
  isFinished: boolean
  /** Owner of the lease on the streamed replies. */
  owner: string | null
}

export interface Stored { conversation: number, id: number, created_at: Date, statuses: Array<Message['status']> }

/** The most messages in one statement, which locks all their conversations until it commits. */
const MAX_BATCH = 64

/** Result for one message of a batch. `id` is null when another transaction held the conversation's lock: store that message on its own. */
interface StoredFirst { conversation: number, id: number | null, created_at: Date }

type Item = [conversation: number, addition: Addition]

/** The first message of a contact's conversation with one bot. */
type Beginning = { origin: ContactOrigin, name: string, bot: number } & ReturnType<typeof valuesOf>

/**
 * Stores each message together with its replies, in one statement. Gives undefined when the conversation's state is no
 * longer the one that the bots answered to, or when the author may not write. Messages whose replies are all known are
 * batched: those that are received together, or while a statement runs, share one. A message that cannot be part of a batch is
 * stored on its own.
 */
export function createAppendStore (db: Db) {
  const together = createCoalescer(appendAll, { most: MAX_BATCH })
  const beginTogether = createCoalescer(beginAll, { most: MAX_BATCH })

  /** A batch holds at most one message per conversation. Later ones are stored one by one, because each depends on the one before. */
  async function appendAll (items: Item[]): Promise<Array<Stored | undefined | Promise<Stored | undefined>>> {
    const stored = await appendMany([...new Map(items.toReversed())])
    const before = new Map<number, Promise<unknown>>()
    return items.map(([conversation, addition]) => {
      const isFirst = !before.has(conversation)
      const mine = isFirst && stored.has(conversation)
        ? Promise.resolve(stored.get(conversation))
        : Promise.resolve(before.get(conversation)).then(() => alone(conversation, addition))
      before.set(conversation, mine.catch(() => { /* the caller handles this rejection */ }))
      return mine
    })
  }

  /** Stores one message per conversation. Messages missing from the result must be stored on their own. */
  async function appendMany (items: Item[]): Promise<Map<number, Stored | undefined>> {
    const rows = await db.$client.query<StoredFirst>(APPEND_MANY(columnsOf(items))).then(({ rows }) => rows, undefinedIfRefused)
    if (rows === undefined) return new Map()
    const found = new Map(rows.map(row => [row.conversation, row]))
    return new Map(items.flatMap(([conversation, { replies }]) => {
      const row = found.get(conversation)
      // Another transaction holds the conversation's lock. Only this message waits for it, not the whole batch.
      if (row?.id === null) return []
      return [[conversation, row && { ...row, id: row.id, statuses: ['complete', ...replies.map(() => 'complete' as const)] }]]
    }))
  }

  /** Begins conversations of several contacts in one statement. One whose user is locked is begun on its own, and so are all if the database refuses one of them. */
  async function beginAll (items: Beginning[]): Promise<Array<Stored | undefined | Promise<Stored | undefined>>> {
    const rows = await db.$client.query<Omit<Stored, 'id'> & { id: number | null, nth: number }>(BEGIN_MANY({ items: JSON.stringify(items.map((item, nth) => ({ nth, ...item }))) })).then(({ rows }) => rows, undefinedIfRefused)
    const begun = new Map(rows?.map(({ nth, ...stored }) => [nth, stored.id === null ? undefined : { ...stored, id: stored.id }]))
    return items.map((item, nth) => begun.has(nth) ? begun.get(nth) : store(BEGIN(item)))
  }

  async function alone (conversation: number, addition: Addition) {
    return await store(APPEND({ conversation, ...valuesOf(addition) }))
  }

  async function store (query: pg.QueryConfig) {
    const { rows: [stored] } = await db.$client.query<Stored>(query)
    return stored
  }

  return {
    /** Appends to one conversation. @throws database errors */
    async append (conversation: number, addition: Addition): Promise<Stored | undefined> {
      return await (isInstant(addition) ? together([conversation, addition]) : alone(conversation, addition))
    },

    /** Begins a conversation for a contact, who has proved nothing but an address. Undefined when the contact has an unfinished one. */
    async begin ({ newestOf, bot }: { newestOf: ContactOrigin, bot: { id: number, name: string } }, addition: Addition): Promise<Stored | undefined> {
      const item = { origin: newestOf, name: bot.name, bot: bot.id, ...valuesOf(addition) }
      // On WhatsApp, beginning may lock the contact's previous conversation. In a batch, this would come after the locks of others, out of order.
      return await (newestOf === 'phone' && isInstant(addition) ? beginTogether(item) : store(BEGIN(item)))
    }
  }
}

const isInstant = ({ replies }: Addition) => replies.every(({ text }) => text !== null)

function valuesOf ({ replies, ...addition }: Addition) {
  return { ...addition, bots: replies.map(({ bot }) => bot), replies: replies.map(({ text }) => text) }
}

/** The database refused one message of the batch, and with it the whole statement. */
function undefinedIfRefused (error: unknown) {
  if (!wasRefused(error)) throw error
  return undefined
}

function columnsOf (items: Item[]) {
  const additions = items.map(([, addition]) => addition)
  const replies = additions.flatMap(({ replies }, index) => replies.map(reply => ({ ...reply, to: index + 1 })))
  return {
    conversations: items.map(([conversation]) => conversation),
    authors: additions.map(({ author }) => author),
    texts: additions.map(({ text }) => text),
    clientIds: additions.map(({ clientId }) => clientId),
    textHashes: additions.map(({ textHash }) => textHash),
    metadata: additions.map(({ metadata }) => metadata),
    parts: additions.map(({ parts }) => parts),
    oldStates: additions.map(({ oldState }) => oldState),
    newStates: additions.map(({ newState }) => newState),
    finished: additions.map(({ isFinished }) => isFinished),
    replyTo: replies.map(({ to }) => to),
    bots: replies.map(({ bot }) => bot),
    replies: replies.map(({ text }) => text)
  }
}

/** Calls append_message. `of` makes SQL of the name of one of the values of `valuesOf`. */
const appendTo = (conversation: SQL | Placeholder, of: (name: string) => SQL | Placeholder = value) => sql`append_message(
  in_conversation => ${conversation},
  in_author => ${of('author')},
  in_text => ${of('text')},
  in_client_id => ${of('clientId')},
  in_client_text_hash => ${of('textHash')},
  in_bots => ${of('bots')},
  in_replies => ${of('replies')},
  in_old_state => ${of('oldState')}::jsonb,
  in_new_state => ${of('newState')}::jsonb,
  in_finished => ${of('isFinished')},
  in_owner => ${of('owner')},
  in_metadata => ${of('metadata')}::json,
  in_parts => ${of('parts')}::json
)`

/** Begins a conversation. `of` makes SQL of the name of one of the values of a `Beginning`. */
const beginWith = (of: (name: string) => SQL | Placeholder = value) => sql`begin_conversation(
  in_owner => ${of('author')},
  in_origin => ${of('origin')},
  in_name => ${of('name')},
  in_bot => ${of('bot')}
) AS begun (id)`

const APPEND = prepareQuery('append', sql`
  SELECT ${value('conversation')}::bigint AS conversation, id, created_at, statuses FROM ${appendTo(value('conversation'))}`)

const BEGIN = prepareQuery('begin', sql`
  SELECT begun.id AS conversation, a.id, a.created_at, a.statuses
  FROM ${beginWith()}, ${appendTo(sql`begun.id`)} a`)

const itemsValue = (name: string) => sql`item.${sql.identifier(name)}`

/**
 * Begins several conversations. Gives no row for a contact whose user another transaction has locked: waiting for it would hold
 * up all others. The contacts are in the order of their ids, so that two instances that begin conversations for the same ones
 * cannot deadlock. Each takes the lock of its conversation after that of another one's user; nobody else knows these
 * conversations yet.
 */
const BEGIN_MANY = prepareQuery('begin_many', sql`
  SELECT item.nth, begun.*
  FROM (
    SELECT item.* FROM json_to_recordset(${value('items')}) AS item (
      nth integer, author bigint, origin origin, name text, bot bigint, text text, "clientId" text, "textHash" text, bots bigint[], replies text[],
      "oldState" text, "newState" text, "isFinished" boolean, owner text, metadata text, parts text
    ) JOIN ${users} ON ${users.id} = item.author ORDER BY item.author FOR KEY SHARE OF ${users} SKIP LOCKED
  ) item LEFT JOIN LATERAL (
    SELECT begun.id AS conversation, a.id, a.created_at, a.statuses FROM ${beginWith(itemsValue)}, ${appendTo(sql`begun.id`, itemsValue)} a
  ) begun ON true`)

const APPEND_MANY = prepareQuery('append_messages', sql`
  SELECT conversation, id, created_at FROM append_messages(
    in_conversations => ${value('conversations')},
    in_authors => ${value('authors')},
    in_texts => ${value('texts')},
    in_client_ids => ${value('clientIds')},
    in_client_text_hashes => ${value('textHashes')},
    in_old_states => ${value('oldStates')},
    in_new_states => ${value('newStates')},
    in_finished => ${value('finished')},
    in_reply_to => ${value('replyTo')},
    in_bots => ${value('bots')},
    in_replies => ${value('replies')},
    in_metadata => ${value('metadata')},
    in_parts => ${value('parts')}
  )`)
