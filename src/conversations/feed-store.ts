import type { Db } from '../db/client.js'
import { FROM_MESSAGES, MESSAGE } from './log.js'
import type { Message } from './schema.js'

export type FeedStore = ReturnType<typeof createFeedStore>

/** A message as it changed, and whose it is: the author's id and the author's own id for it. */
export interface Change extends Message { author: number | null, clientId: string | null }

/** How far a conversation is, who is in it, and what changed in it after a rev, all at the same moment. */
export interface News { conversation: number, lastRev: number, members: Set<number>, changes: Change[] }

/** How many changes of one conversation are read at once. */
export const CHANGES_AT_ONCE = 200

/** What those who follow conversations live need to know, of many conversations in one query. */
export function createFeedStore (db: Db) {
  return {
    /** What changed in each of these after its rev, in order; nothing of a conversation that is gone. */
    async news (places: Array<{ conversation: number, after: number }>): Promise<News[]> {
      const { rows } = await db.$client.query<{ conversation: number, lastRev: number, members: string[] } & (Change | { id: null })>({
        name: 'news', text: NEWS, values: [places.map(({ conversation }) => conversation), places.map(({ after }) => after), CHANGES_AT_ONCE]
      })
      const found = new Map<number, News>()
      for (const { conversation, lastRev, members, ...change } of rows) {
        const news = found.get(conversation) ?? { conversation, lastRev, members: new Set(members.map(Number)), changes: [] }
        found.set(conversation, news)
        if (change.id !== null) news.changes.push(change)
      }
      return [...found.values()]
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

const NEWS = `
  SELECT place.conversation, c.last_rev AS "lastRev", members.members, change.*
  FROM unnest($1::bigint[], $2::bigint[]) AS place (conversation, after)
  JOIN conversations c ON c.id = place.conversation
  CROSS JOIN LATERAL (
    SELECT array(SELECT cu.user_id FROM conversation_users cu WHERE cu.conversation_id = c.id) AS members
  ) members
  LEFT JOIN LATERAL (
    SELECT ${MESSAGE}, m.user_id AS author, m.client_id AS "clientId" ${FROM_MESSAGES}
    WHERE m.conversation_id = c.id AND m.rev > place.after
    ORDER BY m.rev LIMIT $3
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
