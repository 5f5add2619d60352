import { sql, type SQL } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { conversationUsers } from '../db/tables.ts'

// The WHERE of each query that fetches rows checks who may see them. Both functions state the same rule, for the two ways
// in which queries are written.

/** Drizzle condition: the user is a member of the conversation. */
export function isMember (conversation: number | PgColumn, user: number | PgColumn): SQL<boolean> {
  return sql<boolean>`EXISTS (SELECT FROM ${conversationUsers} WHERE ${conversationUsers.conversationId} = ${conversation} AND ${conversationUsers.userId} = ${user})`
}

/** The same for handwritten SQL. Both parameters are SQL expressions, such as `$1`. */
export function IS_MEMBER (conversation: string, user: string): string {
  return `EXISTS (SELECT FROM conversation_users cu WHERE cu.conversation_id = ${conversation} AND cu.user_id = ${user})`
}
