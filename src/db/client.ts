import pg from 'pg'
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Config } from '../config.ts'
import { CANNOT_START } from '../errors.ts'
import { joinPostgres } from './embedded.ts'
import { timeQueries } from './timing.ts'

export type Db = NodePgDatabase & { $client: pg.Pool }
export type Transaction = Parameters<Parameters<Db['transaction']>[0]>[0]
type Log = Pick<FastifyBaseLogger, 'info' | 'warn' | 'error'>

/** What a server's connections are called in `pg_stat_activity`. */
export const APPLICATION_NAME = 'parley'

const { INT8, TIMESTAMPTZ } = pg.types.builtins
const parseAnyTime = pg.types.getTypeParser(TIMESTAMPTZ)

/** Times in UTC and of our millennia need no more than Node's own parser, which takes half as long as the driver's. */
function parseTime (text: string) {
  return text.endsWith('+00') && text[4] === '-' ? new Date(`${text.slice(0, 10)}T${text.slice(11, -3)}Z`) : parseAnyTime(text)
}

/** Ids and counts come as numbers: they stay far below 2^53. */
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text') =>
    oid === INT8 ? Number : oid === TIMESTAMPTZ ? parseTime : pg.types.getTypeParser(oid, format)) as pg.CustomTypesConfig['getTypeParser']
}

/**
 * What the code relies on, whatever a database or a role sets for its sessions: how Postgres writes times, numbers and
 * bytes as text and reads them, and that each statement sees what was committed before it. `SET` after connecting, since
 * connection poolers refuse most settings in the startup message.
 */
const SESSION = `
  SET DateStyle = 'ISO, YMD';
  SET IntervalStyle = 'postgres';
  SET TimeZone = 'UTC';
  SET extra_float_digits = 1;
  SET bytea_output = 'hex';
  SET standard_conforming_strings = on;
  SET array_nulls = on;
  SET client_encoding = 'UTF8';
  SET default_transaction_isolation = 'read committed'`

/** Makes a new connection one on which values come as expected. To be called before any other query. */
export async function prepareSession (client: pg.ClientBase): Promise<void> {
  await client.query(SESSION)
}

/**
 * A pool of connections. A query that takes longer than 10 s, or waits longer than 5 s for a connection, fails; so does,
 * after 12 s, one whose answer is lost on the way. One connection is always kept, by whose name others see who is here.
 * How long each query took the pool tells as 'query'.
 */
export function createDb (connection: pg.PoolConfig, log: Log): Db {
  const pool = new pg.Pool({
    application_name: APPLICATION_NAME, min: 1, statement_timeout: 10_000, query_timeout: 12_000, connectionTimeoutMillis: 5_000, onConnect: prepareSession, ...connection, types
  })
  // The pool listens to idle connections only, and an error that nobody listens to would end the process.
  pool.on('connect', client => timeQueries(client, pool))
  pool.on('connect', client => client.on('error', error => log.warn({ err: error }, 'A database connection was lost')))
  pool.on('error', () => { /* logged by the connection itself */ })
  return drizzle({ client: pool, casing: 'snake_case' })
}

export interface Database {
  connection: pg.ClientConfig
  /** For people: what this database is, without a password. */
  title: string
  /** Gives the database up; an embedded one that nobody else uses stops. */
  leave: () => Promise<void>
}

/**
 * Reaches the database that the settings name: the user's own, waiting for it if need be, or the embedded one.
 * @throws CANNOT_START with a sentence that says what to do
 */
export async function reachDatabase (config: Pick<Config, 'DATABASE_URL' | 'DATA_DIR'>, log: Log, patience = 60_000): Promise<Database> {
  if (config.DATABASE_URL === undefined) {
    const { connection, leave } = await joinPostgres(config.DATA_DIR)
    return { connection, title: `the embedded database in ${config.DATA_DIR}`, leave }
  }
  const connection = { connectionString: config.DATABASE_URL }
  const { host, port, database } = parse(connection)
  const address = `${host}:${port}`
  await untilItAnswers(connection, address, log, patience)
  return { connection, title: `database ${database} at ${address}`, leave: async () => {} }
}

function parse (connection: pg.ClientConfig) {
  try {
    return new pg.Client(connection)
  } catch (error) {
    throw new CANNOT_START('DATABASE_URL cannot be read: it looks like postgres://user:password@host:5432/name, with special characters written as %40.', { cause: error })
  }
}

async function untilItAnswers (connection: pg.ClientConfig, address: string, log: Log, patience: number) {
  const giveUp = Date.now() + patience
  for (let pause = 250; ; pause = Math.min(2 * pause, 4_000)) {
    const client = new pg.Client({ ...connection, connectionTimeoutMillis: 5_000 })
    client.on('error', () => { /* queries on this connection reject with it, too */ })
    try {
      await client.connect()
      return
    } catch (error) {
      const { message } = reasonOf(error)
      if (!isUnavailable(error)) throw new CANNOT_START(`The database at ${address} refuses us: ${message}. Please check DATABASE_URL.`, { cause: error })
      if (Date.now() + pause > giveUp) throw new CANNOT_START(`No database answers at ${address}: ${message}. Please start it, or check DATABASE_URL.`, { cause: error })
      log.warn(`Waiting for the database at ${address}: ${message}`)
    } finally {
      await client.end()
    }
    await sleep(pause)
  }
}

/** The SQL of a `timestamptz` as JSON has it everywhere: `Date.toJSON()`. */
export function jsonTime (column: string): string {
  return `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24":"MI":"SS.MS"Z"')`
}

/** SQLSTATE classes 08, 53 and 57P, a statement that took too long, and what Node says of a socket. @see https://www.postgresql.org/docs/current/errcodes-appendix.html */
const AWAY = /^(08|53|57P|57014)|^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOENT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)$/
/** Raced by another change: a deadlock, or what a new row refers to was deleted just before. */
const RACED = /^(40P01|23503)$/
const TIMED_OUT = /timeout|terminated|not queryable/i

/** Whether this error means that the database is away or overloaded, or that this was raced, so that trying again helps. */
export function isUnavailable (error: unknown): boolean {
  const { code, message } = reasonOf(error)
  return code === undefined ? TIMED_OUT.test(message) : AWAY.test(code) || RACED.test(code)
}

/** Whether the database refused a statement for what is in it, or was raced by another, so that nothing of it was done. */
export function wasRefused (error: unknown): boolean {
  const reason = reasonOf(error)
  return reason instanceof pg.DatabaseError && !AWAY.test(reason.code!)
}

/** Whether the database refused this because the named unique constraint or index stands against it. */
export function violates (error: unknown, constraint: string): boolean {
  const reason = reasonOf(error)
  return reason.code === '23505' && reason.constraint === constraint
}

/** What the driver said: Drizzle wraps it, and Node gathers several addresses' errors. */
export function reasonOf (error: unknown): { code?: string, message: string, constraint?: string } {
  const inner = error as { cause?: unknown, errors?: unknown[] }
  const next = inner.cause ?? inner.errors?.[0]
  return next instanceof Error ? reasonOf(next) : error as Error
}
