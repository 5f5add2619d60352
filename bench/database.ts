import { createHmac } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import pg from 'pg'
import { joinPostgres } from '../src/db/embedded.ts'
import { migrateUp } from '../src/db/migrate.ts'
import { startServer } from './server.ts'

export const SECRET = 'only a benchmark, and 32 characters or more'

/** The size of a database: how many users, how many conversations for each user, how many messages in each conversation. */
export interface Size {
  users: number
  conversations: number
  messages: number
  /** The number of conversations of one additional user. */
  rich: number
  /** The number of messages in one additional conversation of the first user. */
  longest: number
}

export type Bench = Awaited<ReturnType<typeof openBench>>
export type Filled = Awaited<ReturnType<Bench['fill']>>

/** Starts an embedded Postgres in a temporary folder, with fsync on. The folder is deleted when it closes. */
export async function openBench () {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'parley-bench-'))
  const { connection, leave } = await joinPostgres(folder)
  const closing: Array<() => Promise<void>> = []

  return {
    async close () {
      for (const close of closing.reverse()) await close()
      await leave()
      await rm(folder, { recursive: true, maxRetries: 5 })
    },

    /** Creates a database of this size, and starts a server on it. `serve` starts another one, with other settings. */
    async fill (name: string, size: Size, settings: Record<string, string> = {}) {
      const there = { ...connection, database: name }
      await run(connection, `CREATE DATABASE ${name}`)
      await migrateUp(there)
      await run(there, fillWith(size))
      await run(there, 'VACUUM ANALYZE')
      await run(there, 'CHECKPOINT')
      const query = new URLSearchParams({ host: connection.host, port: `${connection.port}` })
      const serve = async (settings: Record<string, string>) => {
        const server = await startServer({ DATABASE_URL: `postgres://postgres@/${name}?${query}`, JWT_SECRET: SECRET, ...settings })
        closing.push(server.stop)
        return server
      }
      const { url, memory } = await serve(settings)
      return { name, size, connection: there, url, memory, serve }
    }
  }
}

export async function run (connection: pg.ClientConfig, sql: string) {
  const client = new pg.Client(connection)
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

/** Makes a user's token. The id of each session is the same as that of its user. */
export function tokenOf (user: number): string {
  const now = Math.floor(Date.now() / 1000)
  const claims = { sid: user, kind: 'access_token', iss: 'parley', aud: 'session', iat: now, exp: now + 24 * 60 * 60 }
  const signed = [{ alg: 'HS256', typ: 'JWT' }, claims].map(part => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`
}

/**
 * Fills a database. The conversations of one user have consecutive ids, and the times of their last use are independent of
 * that. The owners have read everything but the last reply. Foreign keys are not checked, because that would take longer than everything else.
 */
const fillWith = ({ users, conversations, messages, rich, longest }: Size) => `
  SET session_replication_role = replica;
  INSERT INTO users (username, username_key) SELECT 'user-' || n, 'user-' || n FROM generate_series(1, ${users + 1}) n;
  INSERT INTO sessions (user_id, kind, expires_at) SELECT id, 'access_token', now() + interval '1 day' FROM users ORDER BY users.id;
  CREATE TEMP TABLE planned AS
    SELECT n AS id, CASE WHEN n <= ${users * conversations} THEN (n - 1) / ${conversations} + 1 WHEN n <= ${users * conversations + rich} THEN ${users + 1} ELSE 1 END AS owner_id,
      CASE WHEN n <= ${users * conversations + rich} THEN ${messages} ELSE ${longest} END AS messages,
      now() - make_interval(mins => hashint4(n) % 100000) AS last_updated
    FROM generate_series(1, ${users * conversations + rich + 1}) n;
  INSERT INTO conversations (name, owner_id, last_rev, last_updated) SELECT 'Chat ' || id, owner_id, messages, last_updated FROM planned ORDER BY planned.id;
  INSERT INTO conversation_users (conversation_id, user_id, used_in, read_rev) SELECT id, owner_id, date_bin('1 minute', last_updated, 'epoch'), messages - 1 FROM planned ORDER BY planned.id;
  INSERT INTO conversation_bots (conversation_id, chatbot_id) SELECT id, (SELECT id FROM chatbots WHERE name = 'simulated') FROM planned ORDER BY planned.id;
  INSERT INTO messages (conversation_id, id, rev, sender, user_id, chatbot_id, reply_to, text)
    SELECT p.id, m, m, 'user'::sender, p.owner_id, NULL, NULL, 'What is to be said about number ' || m || ', and is it much?' FROM planned p, generate_series(1, p.messages, 2) m
    UNION ALL
    SELECT p.id, m, m, 'bot', NULL, (SELECT id FROM chatbots WHERE name = 'simulated'), m - 1, 'You said: What is to be said about number ' || m - 1 || ', and is it much?' FROM planned p, generate_series(2, p.messages, 2) m
    ORDER BY 1, 2;`
