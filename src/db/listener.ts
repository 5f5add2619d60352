import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { FastifyBaseLogger } from 'fastify'
import { APPLICATION_NAMES, type Db } from './client.ts'

export type Listener = ReturnType<typeof createListener>

/** The payload of a notification: the sending instance and the ids. */
type Payload = [from: string, ...ids: number[]]

/** Postgres limits payloads to 8,000 bytes. 400 ids of 16 digits and a comma fit, together with the instance's id. */
const MAX_IDS_PER_NOTIFICATION = 400

/**
 * Notifies the other instances with LISTEN/NOTIFY: ids that are published on a channel reach every other instance. This is
 * only a hint. What is published while the connection is away is lost, so subscribers must also poll. One connection
 * serves all channels, and reconnects by itself.
 * @see https://www.postgresql.org/docs/current/sql-notify.html
 */
export function createListener (db: Db, log: Pick<FastifyBaseLogger, 'warn'>) {
  const self = randomUUID()
  const subscribers = new Map<string, (ids: number[]) => void>()
  const closing = new AbortController()
  let running: Promise<void> | undefined

  async function listen () {
    while (!closing.signal.aborted) {
      await listenOnce().catch(error => log.warn({ err: error }, 'The LISTEN connection cannot be opened'))
      await sleep(500, undefined, { signal: closing.signal }).catch(() => { /* it closes */ })
    }
  }

  /** Listens until the connection ends. A connection that is still being opened cannot be closed; it is closed once it is open. */
  async function listenOnce () {
    const client = new pg.Client({ ...db.$client.options, application_name: APPLICATION_NAMES.listener, keepAlive: true, keepAliveInitialDelayMillis: 10_000 })
    const ended = new Promise<void>(resolve => { client.once('end', resolve) })
    client.on('error', error => log.warn({ err: error }, 'The LISTEN connection was lost'))
    client.on('notification', ({ channel, payload }) => {
      const [from, ...ids] = read(payload)
      if (from !== self) subscribers.get(channel)?.(ids)
    })
    const leave = () => { client.end() }
    try {
      await client.connect()
      for (const channel of subscribers.keys()) await client.query(`LISTEN ${client.escapeIdentifier(channel)}`)
    } catch (error) {
      leave()
      throw error
    }
    if (closing.signal.aborted) leave()
    else closing.signal.addEventListener('abort', leave)
    await ended
    closing.signal.removeEventListener('abort', leave)
  }

  return {
    /** Notifies all other instances about these ids. Not part of any transaction. */
    async publish (channel: string, ids: number[]): Promise<void> {
      for (let first = 0; first < ids.length; first += MAX_IDS_PER_NOTIFICATION) {
        const payload: Payload = [self, ...ids.slice(first, first + MAX_IDS_PER_NOTIFICATION)]
        await db.$client.query({ name: 'publish', text: 'SELECT pg_notify($1, $2)', values: [channel, JSON.stringify(payload)] })
      }
    },

    /** Calls `hear` with the ids of each notification on a channel. Call it before `start`. */
    subscribe (channel: string, hear: (ids: number[]) => void) {
      subscribers.set(channel, hear)
    },

    /** Begins to listen, until `close`. Reconnects when the connection is lost. */
    start () {
      running = listen()
    },

    async close () {
      closing.abort()
      await running
    }
  }
}

/** Any client of the same database may notify. A payload that is not ours is ignored. */
function read (payload = ''): Payload {
  try {
    const said: unknown = JSON.parse(payload)
    return Array.isArray(said) ? said as Payload : ['']
  } catch {
    return ['']
  }
}
