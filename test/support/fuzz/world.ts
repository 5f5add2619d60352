import { tmpdir } from 'node:os'
import type { Test } from 'tap'
import { pino } from 'pino'
import { createTokens } from '../../../src/accounts/recovery.ts'
import { oneTimeTokens } from '../../../src/db/tables.ts'
import { SECRET } from '../helper.ts'
import { startLive } from '../live.ts'
import { documentedRoutes, type Route } from '../routes.ts'
import { createCallers, PASSWORD, type Caller } from './callers.ts'
import { EVENTS } from './socket-events.ts'
import { createLearned } from './learned.ts'

export type LiveServer = Awaited<ReturnType<typeof startLive>>
export type World = Awaited<ReturnType<typeof createWorld>>

/** A line that the server logs as an error. */
export interface LoggedError { msg: string, err?: { type: string, message: string, code?: string, stack: string } }

/** Bots that must exist: those of a new database, and a slow one. */
const BOTS = [['simulated', 'simulated', {}], ['favorite-song', 'guided', { script: 'favorite-song' }], ['slow', 'webhook', {}]] as const

const ODD_CLAIMS = [
  {}, ...[0, -1, 1.5, 2 ** 53, 1e300, '1', 'x', '', null, true, [], [1], {}].map(sid => ({ sid, kind: 'cookie' })), { sid: 1, kind: 'other' }, { sid: 1, kind: null }, { sid: 1 }
]

/** The app, its callers, and what is known about its data. Requests change the data; `maintain` restores what they delete. */
export async function createWorld (t: Test) {
  const errors: LoggedError[] = []
  const logger = pino({ level: 'error' }, { write: (line: string) => { errors.push(JSON.parse(line)) } })
  const server = await startLive(t, { DATA_DIR: tmpdir() }, undefined, logger)
  server.bots.standInForAll()
  const routes = await documentedRoutes(server)
  const bodyFields = [...new Set([...routes.flatMap(({ body }) => Object.keys(body?.properties ?? {})), ...EVENTS.flatMap(({ schema }) => Object.keys(schema.properties ?? {}))])]
  const learned = createLearned()
  const callers = createCallers(server, begin)
  const mailed = createTokens(SECRET)
  const tokens: Record<string, string[]> = {}
  let times = 0

  await maintain()
  return {
    server,
    routes,
    /** All fields of all bodies and event arguments. */
    bodyFields,
    learned,
    callers,
    errors,
    maintain,
    /** A token with a valid signature, for a session that cannot exist. */
    oddTokens: ODD_CLAIMS.map(claims => server.app.jwt.sign(claims as never, { expiresIn: '1h' })),
    /** Sends a fixed request, which is not generated, and learns from its answer. */
    ask,
    tokensFor: (purpose: string) => tokens[purpose] ?? []
  }

  /** Restores the bots that all other requests need, and reads values that users would only get by mail or from other systems. */
  async function maintain () {
    const { db } = server
    for (const [name, engine, settings] of BOTS) {
      await db.$client.query('INSERT INTO chatbots (name, engine, settings) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING', [name, engine, settings])
      learned.learnValue('bots', 'name', name)
    }
    // Only the newest bots are kept, or the lists of bots would grow all the time.
    await db.$client.query('DELETE FROM chatbots WHERE id < (SELECT max(id) - 200 FROM chatbots) AND name <> ALL ($1)', [BOTS.map(([name]) => name)])
    await db.$client.query(`INSERT INTO whatsapp_deliveries (conversation_id, message_id, contact, state)
      SELECT conversation_id, id, 'contact', 'failed' FROM messages WHERE sender = 'bot' ORDER BY conversation_id DESC, id DESC LIMIT 1 ON CONFLICT DO NOTHING`)
    // A password reset needs a verified address, and an email verification an unverified one.
    const [purpose, verifiedAt] = times++ % 2 === 0 ? ['password_reset' as const, new Date()] : ['email_verification' as const, null]
    const { rows: [someone] } = await db.$client.query(`UPDATE users SET email = 'mailed' || id || '@example.com', email_verified_at = $1
      WHERE id = (SELECT max(id) FROM users WHERE role = 'user' AND password_hash IS NOT NULL) RETURNING id, email`, [verifiedAt])
    if (someone === undefined) return
    const [token] = await db.insert(oneTimeTokens).values({ purpose, userId: Number(someone.id), address: someone.email, expiresAt: new Date(Date.now() + 3_600_000) }).returning()
    tokens[purpose] = [mailed.of({ ...token!, userId: Number(someone.id) })]
  }

  /** Gives a new caller a conversation with an instant bot, and one with a slow bot. */
  async function begin (caller: Caller) {
    if (caller.role === 'nobody') return
    for (const bots of [['simulated'], ['slow']]) {
      const { id } = (await ask(caller, 'POST', '/api/conversations', { name: 'Plans', bots })).json()
      await ask(caller, 'POST', `/api/conversations/${id}/messages`, { text: 'Hi' })
    }
    await ask(caller, 'GET', '/api/bots')
    learned.learn('/api/ag-ui', [], [{ id: 'slow' }, { id: 'simulated' }], caller.name) // named in the path, and not listed there
    if (caller.role === 'guest' || caller.role === 'server') return
    await ask(caller, 'POST', '/api/login', { username: caller.name, password: PASSWORD })
    await ask(caller, 'GET', '/api/me/sessions')
    if (caller.role === 'admin') for (const route of routes.filter(isAdminsList)) await ask(caller, 'GET', route.path)
  }

  async function ask (caller: Caller, method: 'GET' | 'POST', url: string, payload?: object) {
    const answer = await server.app.inject({ method, url, payload, headers: { authorization: `Bearer ${caller.token}`, ...caller.headers } })
    const isJson = String(answer.headers['content-type']).startsWith('application/json')
    if (answer.statusCode < 300 && isJson) learned.learn(collectionOf(url), idsIn(url), answer.json(), caller.name)
    return answer
  }
}

function isAdminsList ({ method, path }: Route) {
  return method === 'GET' && path.startsWith('/api/admin/') && !path.includes('{')
}

/** The name of a path in `learned`, for a path template as well as for an actual path. */
export function collectionOf (path: string) {
  return path.replace(/\{\w+\}|(?<=\/)\d+(?=\/|$)/g, '{}')
}

function idsIn (url: string) {
  return url.match(/(?<=\/)\d+(?=\/|$)/g) ?? []
}
