import type { BotRow, Turn } from '../bots/bot.js'
import type { Db } from '../db/client.js'
import type { Message } from './schema.js'

export type GenerationStore = ReturnType<typeof createGenerationStore>

/** A reply that is being written: its place in the log. */
export interface Place { conversation: number, id: number }

/** What a reply has said since it was stored last, and by whom; it goes behind so many characters, in code points. */
export interface Growth extends Place { owner: string, at: number, piece: string }

/** How a reply ended. */
export interface Ending extends Growth {
  status: Message['status']
  error: string | null
  promptTokens: number | null
  completionTokens: number | null
}

/** How many turns a bot is told at most; its budget of tokens ends long before. */
const MOST_TURNS = 2_000

/**
 * Replies that take their time, as they are stored. Who writes one holds its lease, by the database's clock, and stores
 * nothing any more once that has lapsed.
 */
export function createGenerationStore (db: Db) {
  return {
    /** What was said before a reply, oldest first, and the bot that is to answer; undefined when one is gone. */
    async task ({ conversation, id }: Place): Promise<{ turns: Turn[], bot: BotRow } | undefined> {
      const { rows: [task] } = await db.$client.query<{ bot: BotRow, turns: Turn[] }>({ name: 'task', text: TASK, values: [conversation, id, MOST_TURNS] })
      return task
    },

    /** Stores what has come, renews the leases, in one statement; gives those that are still the owner's, and who is to stop. */
    async flush (growing: Growth[]): Promise<Array<{ owner: string, isToStop: boolean }>> {
      const { rows } = await db.$client.query<{ owner: string, isToStop: boolean }>({
        name: 'flush',
        text: FLUSH,
        values: [
          growing.map(({ owner }) => owner), growing.map(({ conversation }) => conversation), growing.map(({ id }) => id),
          growing.map(({ at }) => at), growing.map(({ piece }) => piece)
        ]
      })
      return rows
    },

    /** False when the lease is another's, or nobody's. */
    async finish ({ conversation, id, owner, status, at, piece, error, promptTokens, completionTokens }: Ending): Promise<boolean> {
      const { rows: [row] } = await db.$client.query<{ finished: boolean }>(
        'SELECT finish_reply($1, $2, $3, $4, $5, $6, $7, $8, $9) AS finished',
        [conversation, id, owner, status, at, piece, error, promptTokens, completionTokens])
      return row!.finished
    },

    /** Begins the reply of a conversation that waits for its turn; undefined when none does, or one is under way. */
    async begin (owner: string, conversation: number): Promise<Place | undefined> {
      const { rows: [row] } = await db.$client.query<{ id: number }>('SELECT id FROM begin_reply($1, $2)', [conversation, owner])
      return row && { conversation, id: row.id }
    },

    /** Marks the replies of those who died; gives the conversations. */
    async interruptLapsed (): Promise<number[]> {
      const { rows } = await db.$client.query<{ conversation: number }>(`
        SELECT m.conversation_id AS conversation, interrupt_reply(m.conversation_id, m.id)
        FROM messages m WHERE m.status IN ('streaming', 'queued') AND m.lease_until < now()
        ORDER BY m.conversation_id`) // so that two who do this at once wait for each other, and not both for ever
      return rows.map(({ conversation }) => conversation)
    },

    /** Conversations in which a reply waits and none is under way. */
    async waiting (most: number): Promise<number[]> {
      const { rows } = await db.$client.query<{ conversation: number }>(`
        SELECT m.conversation_id AS conversation FROM messages m WHERE m.status IN ('streaming', 'queued')
        GROUP BY m.conversation_id HAVING bool_and(m.status = 'queued') ORDER BY min(m.created_at) LIMIT $1`, [most])
      return rows.map(({ conversation }) => conversation)
    },

    /** Asks whoever writes here to stop, at whichever instance; false for who is not in the conversation. */
    async stop (user: number, conversation: number): Promise<boolean> {
      const { rows: [row] } = await db.$client.query<{ stopped: boolean }>('SELECT stop_conversation($1, $2) AS stopped', [conversation, user])
      return row!.stopped
    },

    /** The last reply to a message; undefined where there is none. */
    async replyTo ({ conversation, id }: Place): Promise<Place | undefined> {
      const { rows: [row] } = await db.$client.query<Place>(`
        SELECT conversation_id AS conversation, id FROM messages
        WHERE conversation_id = $1 AND id > $2 AND id <= $2 + 8 AND reply_to = $2 AND status <> 'deleted' ORDER BY id DESC LIMIT 1`, [conversation, id])
      return row
    },

    /** Asks again in the row of a reply: what became of it, or null where there is no such reply for this user. */
    async restart (user: number, { conversation, id }: Place, owner: string | null): Promise<'streaming' | 'queued' | 'busy' | 'not last' | 'too many' | null> {
      const { rows: [row] } = await db.$client.query('SELECT restart_reply($1, $2, $3, $4) AS became', [conversation, user, id, owner])
      return row.became
    }
  }
}

const TASK = `
  SELECT json_build_object('id', bot.id, 'name', bot.name, 'engine', bot.engine, 'settings', bot.settings) AS bot,
    (
      SELECT coalesce(json_agg(json_build_object('sender', m.sender, 'name', coalesce(u.username, b.name), 'text', m.text) ORDER BY m.id), '[]')
      FROM (
        SELECT * FROM messages
        WHERE conversation_id = $1 AND id < $2 AND text <> '' AND status NOT IN ('streaming', 'queued')
        ORDER BY id DESC LIMIT $3
      ) m LEFT JOIN users u ON u.id = m.user_id LEFT JOIN chatbots b ON b.id = m.chatbot_id
    ) AS turns
  FROM messages reply JOIN chatbots bot ON bot.id = reply.chatbot_id
  WHERE reply.conversation_id = $1 AND reply.id = $2`

const FLUSH = `
  UPDATE messages m
  SET text = left(m.text, grown.at) || grown.piece, lease_until = clock_timestamp() + interval '8 seconds'
  FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::integer[], $5::text[]) AS grown (owner, conversation, id, at, piece)
  WHERE m.conversation_id = grown.conversation AND m.id = grown.id AND m.status = 'streaming' AND m.lease_owner = grown.owner
  RETURNING grown.owner, m.stop_requested AS "isToStop"`
