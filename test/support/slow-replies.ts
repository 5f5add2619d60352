import type { Test } from 'tap'
import type pg from 'pg'
import type { Config } from '../../src/config.ts'
import { startApp, type Client } from './helper.ts'
import { until } from './process.ts'

// Streaming bots that a test controls, and helpers for their replies.

export type App = Awaited<ReturnType<typeof startApp>>

/** Two instances on one database with bots that the test controls, and Ann with a client at both and such a bot. */
export async function twoInstances (t: Test, changes: Partial<Config> = {}, database?: pg.PoolConfig) {
  const one = await startApp(t, changes, undefined, database)
  const two = await startApp(t, changes, undefined, one.connection)
  one.bots.takeOver()
  two.bots.takeOver()
  const ann = await one.as('ann')
  const id = await one.slowChat(ann)
  return { one, two, query: one.query, ann, annAtTwo: two.clientOf(ann.headers), id, url: `/api/conversations/${id}` }
}

export async function oneInstance (t: Test, changes: Partial<Config> = {}) {
  const one = await startApp(t, changes)
  one.bots.takeOver()
  const ann = await one.as('ann')
  const id = await one.slowChat(ann)
  return { ...one, ann, id, url: `/api/conversations/${id}` }
}

export const messagesOf = async (client: Client, url: string) => (await client.get(`${url}/messages?limit=200`)).json()
export const textsOf = (messages: Array<{ text: string, status: string }>) => messages.map(({ text, status }) => `${text} (${status})`)
export const rowOf = async ({ query }: Pick<App, 'query'>, id: number) => (await query('SELECT * FROM messages WHERE id = $1 ORDER BY conversation_id', [id]))[0]
export const isStored = async (app: Pick<App, 'query'>, id: number, text: string) => await until(async () => (await rowOf(app, id)).text === text)
export const hasStatus = async (app: Pick<App, 'query'>, id: number, status: string) => await until(async () => (await rowOf(app, id))?.status === status)
export const isAborted = async ({ signal }: { signal: AbortSignal }) => await until(() => signal.aborted)
/** Sends a message. Tests call it without awaiting the response, which comes only when the reply has ended. */
export const ask = (client: Client, url: string, text: string, headers = {}) => client.post(`${url}/messages`, { text }, headers)

export const BUSY = { statusCode: 409, code: 'BOT_BUSY' }
export const NOT_LAST = { statusCode: 409, code: 'NOT_THE_LAST_REPLY' }
export const TOO_MANY = { statusCode: 429, code: 'TOO_MANY_REPLIES' }
export const GONE = { statusCode: 404, code: 'CONVERSATION_NOT_FOUND' }
export const BROKEN = { statusCode: 503, code: 'UNAVAILABLE' }
