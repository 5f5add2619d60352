import type { BotRow, ReplyContext, Turn } from '../bots/bot.ts'
import type { Db } from '../db/client.ts'
import { LEFT_OUT } from '../failures.ts'
import { cutUnread } from '../http/paging.ts'
import type { Part } from '../text/message-parts.ts'
import type { MessageKey } from './store.ts'

/** What a bot gets to write a reply: the turns before it, oldest first, and the context. */
export interface Task {
  bot: BotRow
  turns: Turn[]
  context: Pick<ReplyContext, 'conversation' | 'message' | 'user' | 'channel' | 'state'>
  /** The SHA-256 of the API key, if a guest asks. */
  apiKeyHash: string | null
}

/** How many messages a bot gets at most. Its token budget is reached long before. */
const MAX_TURNS = 2_000

/**
 * How many bytes of text a bot gets at most, about a million tokens. This is more than a message and seven replies to it
 * can have, so the message to answer is always among them. Without this limit, reading a conversation of 300 messages of
 * 100,000 emoji would take longer than the statement timeout, and the conversation would never get a reply again.
 */
const MAX_TURN_BYTES = 4 * 1024 * 1024

/** A message that is being stored, with the id that it will get if nothing else changes the conversation before, and the bot that will reply. */
export interface Upcoming extends MessageKey { bot: number, author: number, text: string, parts: Part[] | undefined, metadata: Record<string, unknown> | undefined }

export type TaskReader = ReturnType<typeof createTaskReader>

/** Reads what a bot gets to write a reply, in one query. Both functions give undefined when the bot or the message was deleted. */
export function createTaskReader (db: Db) {
  return {
    async read ({ conversation, id }: MessageKey): Promise<Task | undefined> {
      const { rows: [task] } = await db.$client.query<Task>({ name: 'task', text: TASK, values: [conversation, id, MAX_TURNS + 1] })
      return task
    },

    /** The same while the message is being stored. The result is right only if the message gets the expected id, and the reply the next one. */
    async readAhead ({ conversation, id, bot, author, text, parts = [], metadata = {} }: Upcoming): Promise<Task | undefined> {
      const { rows } = await db.$client.query<Task & { authorName: string | null }>({ name: 'task_ahead', text: TASK_AHEAD, values: [conversation, id, MAX_TURNS, bot, author] })
      return rows.map(({ authorName, ...task }): Task => ({
        ...task,
        turns: [...task.turns, { id, sender: 'user', name: authorName, text }],
        context: { ...task.context, message: { ...task.context.message!, parts, metadata } }
      }))[0]
    }
  }
}

/** The name of a user in a turn. */
const nameOf = (user: string) => `coalesce(${user}.username, ${user}.name)`

/** The newest messages before a reply, of which `cutUnread` takes one less than $3. */
const SAID_BEFORE = `
  SELECT id, rev, sender, user_id, chatbot_id, agent_name, text, error, reply_to FROM messages
  WHERE conversation_id = $1 AND id < $2 AND status NOT IN ('streaming', 'queued') AND (text <> '' OR error = 'MESSAGE_REFUSED')
  ORDER BY id DESC LIMIT $3`

/**
 * The messages before a reply. A message that a content filter refused is left out, because every later request with it
 * would be refused too; the message that this reply answers is never left out. Its own reply says that it was refused, or the
 * message itself if that was found out later. `MESSAGE_REFUSED` is cleared when the reply is generated again, and does not count once the
 * message was edited, which gives it a higher `rev` than the reply has.
 */
const taskFor = (reply: string) => `
  WITH reply AS (
    ${reply}
  ), told AS MATERIALIZED (
    ${cutUnread({ rows: SAID_BEFORE, order: 'id DESC', bytes: 'octet_length(text)', most: '$3', limit: MAX_TURN_BYTES })}
  )
  SELECT json_build_object('id', bot.id, 'name', bot.name, 'engine', bot.engine, 'settings', bot.settings) AS bot,
    (
      SELECT coalesce(json_agg(json_build_object('id', m.id, 'sender', m.sender, 'name', coalesce(m.agent_name, ${nameOf('u')}, b.name), 'text', m.text) ORDER BY m.id), '[]')
      FROM told m LEFT JOIN users u ON u.id = m.user_id LEFT JOIN chatbots b ON b.id = m.chatbot_id
      WHERE m.text <> '' AND (m.id = reply.reply_to OR m.error IS DISTINCT FROM '${LEFT_OUT}' AND m.id <> ALL (ARRAY(
        SELECT question.id FROM told refused JOIN told question ON question.id = refused.reply_to
        WHERE refused.error = 'MESSAGE_REFUSED' AND question.rev < refused.rev
      )))
    ) AS turns,
    json_build_object(
      'conversation', json_build_object('id', c.id, 'name', c.name, 'metadata', coalesce(c.metadata, '{}')),
      'message', json_build_object('id', reply.reply_to, 'replyId', reply.id, 'parts', coalesce(reply.parts, '[]'), 'metadata', coalesce(reply.metadata, '{}')),
      'user', CASE WHEN asker.id IS NOT NULL THEN json_build_object('id', asker.id, 'name', ${nameOf('asker')}, 'metadata', asker.metadata) END,
      'channel', c.origin,
      'state', c.state -> bot.id::text
    ) AS context,
    asker.api_key_hash AS "apiKeyHash",
    ${nameOf('asker')} AS "authorName"
  FROM reply
  JOIN chatbots bot ON bot.id = reply.chatbot_id
  JOIN conversations c ON c.id = reply.conversation_id
  LEFT JOIN users asker ON asker.id = reply.author_id`

const TASK = taskFor(`
    SELECT m.id, m.conversation_id, m.chatbot_id, m.reply_to, question.user_id AS author_id, question.parts, question.metadata
    FROM messages m LEFT JOIN messages question ON question.conversation_id = m.conversation_id AND question.id = m.reply_to
    WHERE m.conversation_id = $1 AND m.id = $2`)

const TASK_AHEAD = taskFor(`
    SELECT $2::bigint + 1 AS id, $1::bigint AS conversation_id, $4::bigint AS chatbot_id, $2::bigint AS reply_to, $5::bigint AS author_id, NULL::json AS parts, NULL::json AS metadata`)
