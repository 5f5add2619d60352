import type { Db } from '../db/client.ts'
import { CONVERSATION_NOT_FOUND } from '../errors.ts'
import { growingPartsOf } from '../text/message-parts.ts'
import { FROM_MESSAGES, IS_CHANGED, type Message, MESSAGE, MESSAGE_BYTES, MESSAGE_COLUMNS, type MessageRow, shown, WITH_NAMES } from './message.ts'
import { IS_MEMBER } from './membership.ts'

export type FeedStore = ReturnType<typeof createFeedStore>

/** A new or changed message, with its author's user id and the author's client id for it. */
export interface Change extends Message { author: number | null, clientId: string | null }

/**
 * A snapshot of one conversation: its last rev, its members, the changes after a given rev in order (`more`: the page is
 * not the last), and the replies from before that rev that are still growing, with their text so far.
 */
export interface News { conversation: number, lastRev: number, members: Set<number>, changes: Change[], more: boolean, streaming: Change[] }

/** How much of each part of each growing reply a reader has, in UTF-16 units, by message id. */
export type Heard = Map<number, number[]>

/** What a reader of this page has. */
export function heardIn ({ changes, streaming }: News): Heard {
  const underWay = [...streaming, ...changes].filter(({ status }) => status === 'streaming')
  return new Map(underWay.map(message => [message.id, lengthsOf(message)]))
}

/** The length of each part of a growing reply. */
export const lengthsOf = (message: Pick<Message, 'text' | 'parts'>) => growingPartsOf(message).map(({ text }) => text.length)

/** How much of one conversation is read at once, in changes and in bytes, so that a slow reader can keep up. */
const AT_ONCE = { changes: 200, bytes: 256 * 1024 }

/** Reads what live followers need, for many conversations in one query. */
export function createFeedStore (db: Db) {
  return {
    /** The changes of each conversation after its rev, in order. A deleted conversation is left out. */
    async news (places: Array<{ conversation: number, after: number }>, most = AT_ONCE.changes): Promise<News[]> {
      const { rows } = await db.$client.query<{ conversation: number, lastRev: number, members: string[] } & (Omit<Change, keyof Message> & MessageRow | { id: null })>({
        name: 'news', text: NEWS, values: [places.map(({ conversation }) => conversation), places.map(({ after }) => after), most, AT_ONCE.bytes]
      })
      const afters = new Map(places.map(({ conversation, after }) => [conversation, after]))
      const found = new Map<number, News>()
      for (const { conversation, lastRev, members, ...row } of rows) {
        const news = found.get(conversation) ?? { conversation, lastRev, members: new Set(members.map(Number)), changes: [], more: false, streaming: [] }
        found.set(conversation, news)
        if (row.id === null) continue
        const change = shown(row)
        const isNew = change.rev > afters.get(conversation)!
        news[isNew ? 'changes' : 'streaming'].push(change)
        if (isNew) news.more = change.rev < lastRev
      }
      return [...found.values()]
    },

    /** The same for one conversation of which the user is a member. @throws CONVERSATION_NOT_FOUND */
    async newsFor (user: number, conversation: number, after: number, most = AT_ONCE.changes): Promise<News> {
      const [news] = await this.news([{ conversation, after }], most)
      if (!news?.members.has(user)) throw new CONVERSATION_NOT_FOUND()
      return news
    },

    /** The conversations that changed after their rev, were deleted, or have a follower who is no longer a member. */
    async stale (places: Array<{ conversation: number, after: number }>, followed: Array<{ conversation: number, user: number }>): Promise<number[]> {
      const { rows } = await db.$client.query<{ conversation: number }>({
        name: 'stale_feeds',
        text: STALE,
        values: [
          places.map(({ conversation }) => conversation), places.map(({ after }) => after),
          followed.map(({ conversation }) => conversation), followed.map(({ user }) => user)
        ]
      })
      return rows.map(({ conversation }) => conversation)
    }
  }
}

const CHANGE_COLUMNS = `${MESSAGE}, m.user_id AS author, m.client_id AS "clientId"`

/** The first $3 messages of `conversations c` after a rev, in the order of their revs: those that never changed by their id, the others by their rev. */
const FIRST_CHANGED = `
  SELECT * FROM (
    (SELECT * FROM messages m WHERE m.conversation_id = c.id AND m.id > place.after AND NOT (${IS_CHANGED('m')}) ORDER BY m.id LIMIT $3)
    UNION ALL
    (SELECT * FROM messages m WHERE m.conversation_id = c.id AND m.rev > place.after AND ${IS_CHANGED('m')} ORDER BY m.rev LIMIT $3)
  ) both_kinds
  ORDER BY rev LIMIT $3`

const NEWS = `
  SELECT place.conversation, c.last_rev AS "lastRev", members.members, change.*
  FROM unnest($1::bigint[], $2::bigint[]) AS place (conversation, after)
  JOIN conversations c ON c.id = place.conversation
  CROSS JOIN LATERAL (
    SELECT array(SELECT cu.user_id FROM conversation_users cu WHERE cu.conversation_id = c.id) AS members
  ) members
  LEFT JOIN LATERAL (
    SELECT ${MESSAGE_COLUMNS}, author, "clientId"
    FROM (
      SELECT *, sum(${MESSAGE_BYTES}) OVER (ORDER BY rev) - (${MESSAGE_BYTES}) AS before
      FROM (
        SELECT ${CHANGE_COLUMNS} FROM (${FIRST_CHANGED}) m ${WITH_NAMES}
      ) first
    ) measured
    WHERE before < $4
    UNION ALL
    SELECT ${CHANGE_COLUMNS} ${FROM_MESSAGES} WHERE m.conversation_id = c.id AND m.rev <= place.after AND m.status = 'streaming'
  ) change ON true
  ORDER BY place.conversation, change.rev`

const STALE = `
  SELECT place.conversation
  FROM unnest($1::bigint[], $2::bigint[]) AS place (conversation, after)
  LEFT JOIN conversations c ON c.id = place.conversation
  WHERE c.id IS NULL OR c.last_rev > place.after
  UNION
  SELECT follower.conversation
  FROM unnest($3::bigint[], $4::bigint[]) AS follower (conversation, user_id)
  WHERE NOT ${IS_MEMBER('follower.conversation', 'follower.user_id')}`
