import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Test } from 'tap'
import type { InjectOptions, LightMyRequestResponse } from 'fastify'
import pg from 'pg'
import { Value } from 'typebox/value'
import { buildApp, type Deps } from '../../src/app.ts'
import { ConfigSchema, type Config } from '../../src/config.ts'
import { createDb } from '../../src/db/client.ts'
import { createTasks } from '../../src/jobs/tasks.ts'
import { startWorker, type Worker } from '../../src/jobs/worker.ts'
import { API_KEY, SECRET, silent, TEST_FOLDER } from './constants.ts'
import { APP_SECRET, VERIFY_TOKEN } from './meta.ts'
import { isWaiting } from './process.ts'
import { createSlowBots } from './slow-bot.ts'

export { API_KEY, SECRET, silent }

export const TEMPLATE = `parley_test_template_${process.ppid}`
export const connectionFile = `${TEST_FOLDER}/connection.json`

/** The default settings, except for a low bcrypt cost, no rate limits, and no refusals because of a busy machine. */
export function settings (changes: Partial<Config> = {}): Config {
  return { ...Value.Create(ConfigSchema), BCRYPT_COST: 4, RATE_LIMITS: 'off', MAX_EVENT_LOOP_DELAY: 0, API_KEYS: `another-key-for-tests, ${API_KEY}`, META_APP_SECRET: APP_SECRET, META_VERIFY_TOKEN: VERIFY_TOKEN, ...changes }
}

/** Connections for creating and deleting databases. They stay open, since opening one takes longer, and do not keep the process running. */
let databases: pg.Pool | undefined

/** Creates a database for the test, with all migrations. */
export async function freshDatabase (t: Test, template = TEMPLATE): Promise<pg.PoolConfig> {
  const connection = JSON.parse(readFileSync(connectionFile, 'utf8')) as pg.PoolConfig
  databases ??= new pg.Pool({ ...connection, max: 4, allowExitOnIdle: true })
  const database = `parley_test_${randomBytes(6).toString('hex')}`
  await databases.query(`CREATE DATABASE ${database} TEMPLATE ${template}`)
  t.teardown(() => databases!.query(`DROP DATABASE ${database} WITH (FORCE)`))
  return { ...connection, database }
}

export async function run (connection: pg.ClientConfig, sql: string, values: unknown[] = []) {
  const client = new pg.Client(connection)
  await client.connect()
  try {
    return (await client.query(sql, values)).rows
  } finally {
    await client.end()
  }
}

/** Takes a conversation's lock. Writers to this conversation then wait for the lock after they have read the conversation. */
export async function holdLock (t: Test, connection: pg.ClientConfig, conversation: number) {
  const client = new pg.Client(connection)
  await client.connect()
  t.teardown(() => client.end())
  await client.query('BEGIN')
  await client.query('SELECT FROM conversations WHERE id = $1 FOR UPDATE', [conversation])
  return {
    /** Waits until this number of other connections wait for a lock. */
    until: (waiting: number) => isWaiting(client, waiting),
    query: (sql: string) => client.query(sql),
    release: () => client.query('COMMIT')
  }
}

export type Client = ReturnType<typeof clientOf>
export type Headers = Record<string, string>

/** Starts an app on a fresh database, or another one on the same database. It is closed when the test ends. */
export async function startApp (t: Test, changes: Partial<Config> = {}, logger?: Deps['logger'], database?: pg.PoolConfig) {
  const connection = database ?? await freshDatabase(t)
  const config = settings(changes)
  const secret = config.JWT_SECRET ?? SECRET
  const db = createDb(connection, silent)
  let worker: Worker | undefined
  const bots = createSlowBots()
  const app = await buildApp({ config, db, secret, isWorking: () => worker?.isWorking() ?? true, changeBots: bots.change, logger })
  t.teardown(() => app.close())
  const inject = async (request: InjectOptions) => await app.inject(request)
  const anyone = clientOf(inject, {})

  return {
    app,
    connection,
    db,
    anyone,
    bots,
    /** A new user, logged in by cookie. */
    async as (username: string, password = 'correct horse') {
      await anyone.post('/api/signup', { username, password })
      const { cookies: [cookie] } = await anyone.post('/api/login', { username, password })
      return clientOf(inject, { cookie: `${cookie!.name}=${cookie!.value}` })
    },
    /** Creates a conversation of a user with a streaming bot. */
    async slowChat (client: Client): Promise<number> {
      await run(connection, "INSERT INTO chatbots (name, engine) VALUES ('slow', 'webhook') ON CONFLICT DO NOTHING")
      return (await client.post('/api/conversations', { name: 'Slow', bots: ['slow'] })).json().id
    },
    /** Runs the jobs until the test ends. */
    async work () {
      const log = logger ?? silent
      worker = await startWorker({ connection, tasks: createTasks({ config, db, secret, app, log }), log })
      t.teardown(worker.stop)
      return worker
    },
    /** A user of another instance on the same database, logged in by this one's cookie. */
    clientOf: (headers: Headers) => clientOf(inject, headers),
    query: (sql: string, values?: unknown[]) => run(connection, sql, values)
  }
}

function clientOf (inject: (request: InjectOptions) => Promise<LightMyRequestResponse>, own: Headers) {
  const send = (method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE') =>
    (url: string, payload?: InjectOptions['payload'], headers: Headers = {}) =>
      inject({ method, url, payload, headers: { ...own, ...headers } })
  return {
    headers: own,
    get: (url: string, headers: Headers = {}) => send('GET')(url, undefined, headers),
    post: send('POST'),
    put: send('PUT'),
    patch: send('PATCH'),
    delete: (url: string, headers: Headers = {}, payload?: InjectOptions['payload']) => send('DELETE')(url, payload, headers)
  }
}
