import { sql, type SQL, type Placeholder } from 'drizzle-orm'
import type pg from 'pg'
import { createCoalescer } from '../db/batch.ts'
import { wasRefused, type Db } from '../db/client.ts'
import { prepareQuery, value } from '../db/prepared.ts'
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
  /** Null leaves it unchanged. */
  isFinished: boolean | null
  /** Owner of the lease on the streamed replies. */
  owner: string | null
}

export interface Stored { conversation: number, id: number, created_at: Date, statuses: Array<Message['status']> }

/** The most messages in one statement, which locks all their conversations until it commits. */
const MAX_BATCH = 64

/** Result for one message of a batch. `id` is null when another transaction held the conversation's lock: store that message on its own. */
interface StoredFirst { conversation: number, id: number | null, created_at: Date }

/** The same for a contact's first message. All are null when the contact has an unfinished conversation, so that nothing was begun. */
type BegunFirst = { author: number } & (StoredFirst | { [field in keyof StoredFirst]: null })

type Item = [conversation: number, addition: Addition]

/** The first message of a contact's conversation with one bot. In a batch, all are by phone. */
interface Beginning { origin: ContactOrigin, name: string, bot: number, addition: Addition }

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
    const values = { conversations: items.map(([conversation]) => conversation), ...columnsOf(items.map(([, addition]) => addition)) }
    const rows = await db.$client.query<StoredFirst>(APPEND_MANY(values)).then(({ rows }) => rows, undefinedIfRefused)
    if (rows === undefined) return new Map()
    const found = new Map(rows.map(row => [row.conversation, row]))
    return new Map(items.flatMap(([conversation, addition]) => {
      const row = found.get(conversation)
      // Another transaction holds the conversation's lock. Only this message waits for it, not the whole batch.
      if (row?.id === null) return []
      return [[conversation, row && storedAs(addition, row)]]
    }))
  }

  /**
   * Begins conversations of several contacts in one statement. A contact whose user's row another transaction has locked begins in a
   * statement of its own, and so do all contacts if the database refuses one of them.
   */
  async function beginAll (items: Beginning[]): Promise<Array<Stored | undefined | Promise<Stored | undefined>>> {
    const firsts = new Map(items.toReversed().map(item => [item.addition.author, item])) // begin_conversations takes each contact once
    const ones = [...firsts.values()]
    const values = { names: ones.map(({ name }) => name), firstBots: ones.map(({ bot }) => bot), ...columnsOf(ones.map(({ addition }) => addition)) }
    const rows = await db.$client.query<BegunFirst>(BEGIN_MANY(values)).then(({ rows }) => rows, undefinedIfRefused)
    const begun = new Map(rows?.map(row => [row.author, row]))
    return items.map(item => {
      const row = firsts.get(item.addition.author) === item ? begun.get(item.addition.author) : undefined
      return row === undefined ? beginAlone(item) : storedAs(item.addition, row)
    })
  }

  async function beginAlone ({ addition, ...beginning }: Beginning) {
    return await store(BEGIN({ ...beginning, ...valuesOf(addition) }))
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
      const item = { origin: newestOf, name: bot.name, bot: bot.id, addition }
      // On WhatsApp, beginning may lock the contact's previous conversation. In a batch, this would come after the locks of others, out of order.
      return await (newestOf === 'phone' && isInstant(addition) ? beginTogether(item) : beginAlone(item))
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

/** A message of a batch as it was stored; undefined if it was not. */
function storedAs ({ replies }: Addition, { conversation, id, created_at }: StoredFirst | BegunFirst): Stored | undefined {
  return conversation === null || id === null ? undefined : { conversation, id, created_at, statuses: ['complete', ...replies.map(() => 'complete' as const)] }
}

function columnsOf (additions: Addition[]) {
  const replies = additions.flatMap(({ replies }, index) => replies.map(reply => ({ ...reply, to: index + 1 })))
  return {
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

/** Calls append_message with the values of `valuesOf`. */
const appendTo = (conversation: SQL | Placeholder) => sql`append_message(
  in_conversation => ${conversation},
  in_author => ${value('author')},
  in_text => ${value('text')},
  in_client_id => ${value('clientId')},
  in_client_text_hash => ${value('textHash')},
  in_bots => ${value('bots')},
  in_replies => ${value('replies')},
  in_old_state => ${value('oldState')}::jsonb,
  in_new_state => ${value('newState')}::jsonb,
  in_finished => ${value('isFinished')},
  in_owner => ${value('owner')},
  in_metadata => ${value('metadata')}::json,
  in_parts => ${value('parts')}::json
)`

const APPEND = prepareQuery('append', sql`
  SELECT ${value('conversation')}::bigint AS conversation, id, created_at, statuses FROM ${appendTo(value('conversation'))}`)

const BEGIN = prepareQuery('begin', sql`
  SELECT begun.id AS conversation, a.id, a.created_at, a.statuses
  FROM begin_conversation(
    in_owner => ${value('author')},
    in_origin => ${value('origin')},
    in_name => ${value('name')},
    in_bot => ${value('bot')}
  ) AS begun (id), ${appendTo(sql`begun.id`)} a`)

/** Calls append_messages with the values of `columnsOf`. */
const appendAllTo = (conversations: SQL | Placeholder) => sql`append_messages(
  in_conversations => ${conversations},
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
)`

const APPEND_MANY = prepareQuery('append_messages', sql`
  SELECT conversation, id, created_at FROM ${appendAllTo(value('conversations'))}`)

/**
 * Begins several conversations. Gives no row for a contact whose user another transaction has locked: waiting for it would hold
 * up all others. The messages are stored under the locks of the new conversations, which nobody else knows yet.
 */
const BEGIN_MANY = prepareQuery('begin_many', sql`
  WITH begun AS MATERIALIZED (
    SELECT owner, conversation
    FROM begin_conversations(in_owners => ${value('authors')}, in_origin => 'phone', in_names => ${value('names')}, in_bots => ${value('firstBots')})
  )
  SELECT begun.owner AS author, begun.conversation, stored.id, stored.created_at
  FROM begun LEFT JOIN ${appendAllTo(sql`ARRAY(
    SELECT begun.conversation FROM unnest(${value('authors')}::bigint[]) WITH ORDINALITY AS asked (author, nth) LEFT JOIN begun ON begun.owner = asked.author ORDER BY asked.nth
  )`)} AS stored ON stored.conversation = begun.conversation`)
