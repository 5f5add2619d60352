import type pg from 'pg'
import { createCoalescer } from '../db/coalesce.js'
import { wasRefused, type Db } from '../db/client.js'
import type { Message } from './schema.js'

/** A message to a conversation, what its bots answer at once (or null: later), and what they remember before and after. */
export interface Addition {
  author: number
  text: string
  clientId: string | null
  textHash: string | null
  replies: Array<{ bot: number, text: string | null }>
  oldState: string
  newState: string
  isFinished: boolean
  /** Whose lease a reply that takes its time is. */
  owner: string | null
}

export interface Stored { conversation: number, id: number, created_at: Date, statuses: Array<Message['status']> }

/** So many messages in one statement at most: it holds all their conversations until it is committed. */
const MOST = 64

/** What came of one among many; without an id it is still to be stored. */
interface Place { conversation: number, id: number | null, created_at: Date }

type Item = [conversation: number, addition: Addition]

/**
 * Stores messages: each in one statement with its replies, or nothing of it. Undefined when its state is not the one that
 * the bots answered to any more, or its author may not write. Those whose replies are all there go together: what waits
 * while one statement is under way goes into the next. What cannot be stored among others is stored alone.
 */
export function createAppendStore (db: Db) {
  const together = createCoalescer(appendAll, { most: MOST })

  /** Of one conversation only the first goes with the others; the next comes after it, since it depends on it. */
  async function appendAll (items: Item[]): Promise<Array<Stored | undefined | Promise<Stored | undefined>>> {
    const stored = await appendMany([...new Map(items.toReversed())])
    const before = new Map<number, Promise<unknown>>()
    return items.map(([conversation, addition]) => {
      const isFirst = !before.has(conversation)
      const mine = isFirst && stored.has(conversation)
        ? Promise.resolve(stored.get(conversation))
        : Promise.resolve(before.get(conversation)).then(() => alone(conversation, addition))
      before.set(conversation, mine.catch(() => { /* told to whom it concerns */ }))
      return mine
    })
  }

  /** One message of each conversation. Those that are not in the result are to be stored alone. */
  async function appendMany (items: Item[]): Promise<Map<number, Stored | undefined>> {
    const query = { name: 'append_messages', text: APPEND_MANY, values: columnsOf(items) }
    const rows = await db.$client.query<Place>(query).then(({ rows }) => rows, unlessRefused)
    if (rows === undefined) return new Map()
    const found = new Map(rows.map(row => [row.conversation, row]))
    return new Map(items.flatMap(([conversation, { replies }]) => {
      const row = found.get(conversation)
      // Somebody else holds the conversation's lock: this message waits for it, and no other one does.
      if (row?.id === null) return []
      return [[conversation, row && { ...row, id: row.id, statuses: ['complete', ...replies.map(() => 'complete' as const)] }]]
    }))
  }

  async function alone (conversation: number, addition: Addition) {
    return await store({ name: 'append', text: APPEND, values: [...valuesOf(addition), conversation] })
  }

  async function store (query: pg.QueryConfig) {
    const { rows: [stored] } = await db.$client.query<Stored>(query)
    return stored
  }

  return {
    /** To one conversation. @throws what the database says */
    async append (conversation: number, addition: Addition): Promise<Stored | undefined> {
      const isInstant = addition.replies.every(({ text }) => text !== null)
      return await (isInstant ? together([conversation, addition]) : alone(conversation, addition))
    },

    /** As the first message of a new conversation of somebody who has proved only an address; undefined when there is one that is unfinished. */
    async begin ({ newestOf, bot }: { newestOf: 'phone' | 'whatsapp', bot: { id: number, name: string } }, addition: Addition): Promise<Stored | undefined> {
      return await store({ name: 'begin', text: BEGIN, values: [...valuesOf(addition), newestOf, bot.name, bot.id] })
    }
  }
}

function valuesOf ({ author, text, clientId, textHash, replies, oldState, newState, isFinished, owner }: Addition) {
  return [author, text, clientId, textHash, replies.map(({ bot }) => bot), replies.map(({ text }) => text), oldState, newState, isFinished, owner]
}

/** One of them was refused, and all with it. */
function unlessRefused (error: unknown) {
  if (!wasRefused(error)) throw error
  return undefined
}

function columnsOf (items: Item[]) {
  const additions = items.map(([, addition]) => addition)
  const replies = additions.flatMap(({ replies }, index) => replies.map(reply => ({ ...reply, to: index + 1 })))
  return [
    items.map(([conversation]) => conversation),
    additions.map(({ author }) => author),
    additions.map(({ text }) => text),
    additions.map(({ clientId }) => clientId),
    additions.map(({ textHash }) => textHash),
    additions.map(({ oldState }) => oldState),
    additions.map(({ newState }) => newState),
    additions.map(({ isFinished }) => isFinished),
    replies.map(({ to }) => to),
    replies.map(({ bot }) => bot),
    replies.map(({ text }) => text)
  ]
}

const APPEND = 'SELECT $11::bigint AS conversation, id, created_at, statuses FROM append_message($11, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10)'

const BEGIN = `
  SELECT begun.id AS conversation, a.id, a.created_at, a.statuses
  FROM begin_conversation($1, $11, $12, $13) AS begun (id),
    append_message(begun.id, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10) a`

const APPEND_MANY = 'SELECT conversation, id, created_at FROM append_messages($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)'
