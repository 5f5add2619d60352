import { IS_CHANGED } from '../../log/message.ts'

/** More than this are not counted. */
const MAX_UNREAD = 99

/**
 * SQL that counts what others have said in a conversation after a user's `read_rev`, at most 99. A bot's reply counts from its
 * end, and again when it was generated anew; a user's message does not count again when it is edited. The parameters are
 * SQL expressions.
 */
export function UNREAD ({ conversation, user, readRev }: { conversation: string, user: string, readRev: string }): string {
  const select = (which: string) => `
    SELECT FROM messages unread
    WHERE unread.conversation_id = ${conversation} AND ${which}
      AND unread.user_id IS DISTINCT FROM ${user} AND unread.status NOT IN ('deleted', 'queued', 'streaming')`
  return `(SELECT count(*) FROM (
    ${select(`unread.id > ${readRev}`)}
    UNION ALL
    ${select(`unread.id <= ${readRev} AND ${IS_CHANGED('unread')} AND unread.rev > ${readRev} AND unread.sender = 'bot'`)}
    LIMIT ${MAX_UNREAD}
  ) unread)`
}
