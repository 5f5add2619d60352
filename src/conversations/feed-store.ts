import type { Db } from '../db/client.js'
import { CONVERSATION_NOT_FOUND } from '../errors.js'
import { FROM_MESSAGES, MESSAGE } from './log.js'
import type { Message } from './schema.js'

export type FeedStore = ReturnType<typeof createFeedStore>

/** A message as it changed, and whose it is: the author's id and the author's own id for it. */
export interface Change extends Message { author: number | null, clientId: string | null }

/**
 * How far a conversation is, who is in it, what changed in it after a rev, in order (`more`: there is more), and the
 * replies from before that rev that are being written, as far as they are, all at the same moment.
 */
export interface News { conversation: number, lastRev: number, members: Set<number>, changes: Change[], more: boolean, streaming: Change[] }

/** Of replies that are being written how much somebody has who has read this. */
export function heardIn ({ changes, streaming }: News) {
  const underWay = [...streaming, ...changes].filter(({ status }) => status === 'streaming')
  return new Map(underWay.map(({ id, text }) => [id, text.length]))
}

/** How much of one conversation is read at once: so many changes, and about so many bytes of text, so that a reader keeps up. */
const AT_ONCE = { changes: 200, bytes: 256 * 1024 }

/** What those who follow conversations live need to know, of many conversations in one query. */
export function createFeedStore (db: Db) {
  return {
    /** What changed in each of these after its rev, in order; nothing of a conversation that is gone. */
    async news (places: Array<{ conversation: number, after: number }>, most = AT_ONCE.changes): Promise<News[]> {
      const { rows } = await db.$client.query<{ conversation: number, lastRev: number, members: string[] } & (Change | { id: null })>({
        name: 'news', text: NEWS, values: [places.map(({ conversation }) => conversation), places.map(({ after }) => after), most, AT_ONCE.bytes]
      })
      const afters = new Map(places.map(({ conversation, after }) => [conversation, after]))
      const found = new Map<number, News>()
      for (const { conversation, lastRev, members, ...change } of rows) {
        const news = found.get(conversation) ?? { conversation, lastRev, members: new Set(members.map(Number)), changes: [], more: false, streaming: [] }
        found.set(conversation, news)
        if (change.id === null) continue
        const isNew = change.rev > afters.get(conversation)!
        news[isNew ? 'changes' : 'streaming'].push(change)
        if (isNew) news.more = change.rev < lastRev
      }
      return [...found.values()]
    },

    /** The same of one conversation, for who is in it. @throws CONVERSATION_NOT_FOUND */
    async newsFor (user: number, conversation: number, after: number, most = AT_ONCE.changes): Promise<News> {
      const [news] = await this.news([{ conversation, after }], most)
      if (!news?.members.has(user)) throw new CONVERSATION_NOT_FOUND()
      return news
    },

    /** Which of these conversations went on after their rev or are gone, and which somebody follows who is not in them. */
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

const COLUMNS = 'id, rev, sender, username, text, status, created_at, author, "clientId"'
const CHANGE = `${MESSAGE}, m.user_id AS author, m.client_id AS "clientId" ${FROM_MESSAGES}`

const NEWS = `
  SELECT place.conversation, c.last_rev AS "lastRev", members.members, change.*
  FROM unnest($1::bigint[], $2::bigint[]) AS place (conversation, after)
  JOIN conversations c ON c.id = place.conversation
  CROSS JOIN LATERAL (
    SELECT array(SELECT cu.user_id FROM conversation_users cu WHERE cu.conversation_id = c.id) AS members
  ) members
  LEFT JOIN LATERAL (
    SELECT ${COLUMNS}
    FROM (
      SELECT *, sum(octet_length(text)) OVER (ORDER BY rev) - octet_length(text) AS before
      FROM (
        SELECT ${CHANGE} WHERE m.conversation_id = c.id AND m.rev > place.after ORDER BY m.rev LIMIT $3
      ) first
    ) measured
    WHERE before < $4
    UNION ALL
    SELECT ${CHANGE} WHERE m.conversation_id = c.id AND m.rev <= place.after AND m.status = 'streaming'
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
  WHERE NOT EXISTS (
    SELECT FROM conversation_users cu
    WHERE cu.conversation_id = follower.conversation AND cu.user_id = follower.user_id
  )`
