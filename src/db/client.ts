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

/** The names of the server's connections in `pg_stat_activity`, by which `make restore` and the like see that it is running. */
export const APPLICATION_NAMES = { pool: 'parley', jobs: 'parley-jobs', listener: 'parley-listener' }

const { INT8, TIMESTAMPTZ } = pg.types.builtins
const parseAnyTime = pg.types.getTypeParser(TIMESTAMPTZ)

/** Parses a time. `Date` can read those in UTC with a year of four digits and takes half as long as the driver's parser. */
function parseTime (text: string) {
  return text.endsWith('+00') && text[4] === '-' ? new Date(`${text.slice(0, 10)}T${text.slice(11, -3)}Z`) : parseAnyTime(text)
}

/** Reads `bigint` as a number: our ids and counts stay far below 2^53. */
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text') =>
    oid === INT8 ? Number : oid === TIMESTAMPTZ ? parseTime : pg.types.getTypeParser(oid, format)) as pg.CustomTypesConfig['getTypeParser']
}

/**
 * `random_page_cost` of our connections. The default of Postgres is for hard disks: with it, Postgres would rather read all
 * users, once for each conversation of a list, than look up the authors of 50 messages.
 */
export const RANDOM_PAGE_COST = 1.1

/**
 * Session settings that the code relies on, in case the database or the role has other defaults: the text formats of times,
 * numbers and bytes, that tables are in `public`, and that each statement sees everything committed before it. No timeouts, because
 * those of the role may be shorter than a migration or a backup needs; Postgres has transaction_timeout since version 17. The settings
 * are set after connecting, because connection poolers refuse most of them in the startup message.
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
  SET search_path = public;
  SET default_transaction_isolation = 'read committed';
  SET random_page_cost = ${RANDOM_PAGE_COST};
  SET lock_timeout = 0;
  SET idle_in_transaction_session_timeout = 0;
  SET idle_session_timeout = 0;
  SELECT set_config('transaction_timeout', '0', false) WHERE current_setting('transaction_timeout', true) IS NOT NULL`

/** Applies the session settings to a new connection. Call it before any other query. Without `timeoutMs`, a statement may take any time. */
export async function prepareSession (client: pg.ClientBase, timeoutMs = 0): Promise<void> {
  await client.query(`${SESSION}; SET statement_timeout = ${timeoutMs}`)
}

/**
 * Creates a pool of connections. A query fails if it takes longer than 10 s, if it waits longer than 5 s for a connection,
 * or after 12 s if the database does not answer at all. One connection is kept open. Queries that are begun at once on the same
 * connection are pipelined. The pool emits 'query' with the duration of each query.
 */
export function createDb ({ statement_timeout: timeoutMs = 10_000, ...connection }: pg.PoolConfig, log: Log): Db {
  const pool = new pg.Pool({
    application_name: APPLICATION_NAMES.pool, min: 1, query_timeout: 12_000, connectionTimeoutMillis: 5_000, onConnect: client => prepareSession(client, Number(timeoutMs)), pipeline: true, ...connection, types
  })
  // The pool handles errors of idle connections only. An 'error' event of another one without a listener would end the process.
  pool.on('connect', client => timeQueries(client, pool))
  pool.on('connect', client => client.on('error', error => {
    // A database that is stopped right after `end` may be faster than the end of a connection.
    if (!pool.ending) log.warn({ err: error }, 'A database connection was lost')
  }))
  pool.on('error', () => { /* logged by the connection itself */ })
  return Object.assign(drizzle({ client: pool, casing: 'snake_case' }), { transaction: createTransaction(pool) })
}

/**
 * Runs a transaction on a connection of the pool. Drizzle's own function for pools never returns the connection if BEGIN fails, and
 * returns one that does not answer for others to use. Each such connection would be lost for good, or make the next query time out.
 */
function createTransaction (pool: pg.Pool): NodePgDatabase['transaction'] {
  const bound = new WeakMap<pg.PoolClient, NodePgDatabase>()
  return async (work, config) => {
    const client = await pool.connect()
    const db = bound.get(client) ?? drizzle({ client, casing: 'snake_case' })
    bound.set(client, db)
    let isLost = false
    return await db.transaction(work, config).catch((error: unknown) => {
      isLost = mayHaveBroken(error)
      throw error
    }).finally(() => client.release(isLost))
  }
}

export interface Database {
  connection: pg.ClientConfig
  /** A description of the database for people, without the password. */
  title: string
  /** Disconnects. An embedded database that no other process uses is stopped. */
  leave: () => Promise<void>
}

/** The signals by which a terminal, a shell or a service manager ends a command. */
const ENDING_SIGNALS = ['SIGHUP', 'SIGINT', 'SIGTERM'] as const

/**
 * Connects to the database of `DATABASE_URL`, or to the embedded one, which gets these settings if it is started. Waits for
 * `patience` milliseconds until it is up.
 * @throws CANNOT_START with a sentence that says what to do
 */
export async function reachDatabase (config: Pick<Config, 'DATABASE_URL' | 'DATA_DIR'>, log: Log, patience = 60_000, settings: Record<string, string> = {}): Promise<Database> {
  if (config.DATABASE_URL === undefined) {
    const { connection, leave } = await joinPostgres(config.DATA_DIR, settings)
    return { connection, title: `the embedded database in ${config.DATA_DIR}`, leave }
  }
  // A name in the URL would take the place of our own, and nothing could see that the server is running.
  const connection = { connectionString: config.DATABASE_URL.replace(/(?<=[?&])application_name=[^&#]*&?/g, '') }
  const { host, port, database } = parse(connection)
  const address = `${host}:${port}`
  await untilItAnswers(connection, address, log, patience)
  return { connection, title: `database ${database} at ${address}`, leave: async () => {} }
}

/**
 * Reaches the database for a command, and leaves it when `work` has ended, or when a signal, such as Ctrl-C, ends the command. Otherwise
 * an embedded Postgres that the command has started would run on.
 */
export async function visitDatabase<T> (config: Pick<Config, 'DATABASE_URL' | 'DATA_DIR'>, log: Log, work: (database: Database) => Promise<T>, patience?: number): Promise<T> {
  const reaching = reachDatabase(config, log, patience)
  let ending: Promise<void> | undefined
  const stop = (_signal: NodeJS.Signals, number: number) => { ending = end(number) }

  async function end (number: number) {
    // Another database may not answer for long, and there is nothing to leave.
    if (config.DATABASE_URL === undefined) await Promise.allSettled([reaching.then(({ leave }) => leave())])
    process.exit(128 + number)
  }
  for (const signal of ENDING_SIGNALS) process.once(signal, stop)

  try {
    const database = await reaching
    return await work(database).finally(database.leave)
  } finally {
    await ending // Leaving may have cut off the work. The user has ended the command and needs no error about that.
    for (const signal of ENDING_SIGNALS) process.off(signal, stop)
  }
}

function parse (connection: pg.ClientConfig) {
  try {
    return new pg.Client(connection)
  } catch (error) {
    throw new CANNOT_START('DATABASE_URL cannot be read: it looks like postgres://user:password@host:5432/name, with special characters written as %40.', { cause: error })
  }
}

async function untilItAnswers (connection: pg.ClientConfig, address: string, log: Log, patience: number) {
  const giveUp = performance.now() + patience
  for (let pause = 250; ; pause = Math.min(2 * pause, 4_000)) {
    const client = new pg.Client({ ...connection, connectionTimeoutMillis: 5_000 })
    client.on('error', () => { /* queries on this connection reject with it too */ })
    try {
      await client.connect()
      return
    } catch (error) {
      const { message } = reasonOf(error)
      if (!isUnavailable(error)) throw new CANNOT_START(`The database at ${address} refuses us: ${message}. Please check DATABASE_URL.`, { cause: error })
      if (performance.now() + pause > giveUp) throw new CANNOT_START(`No database answers at ${address}: ${message}. Please start it, or check DATABASE_URL.`, { cause: error })
      log.warn(`Waiting for the database at ${address}: ${message}`)
    } finally {
      await client.end()
    }
    await sleep(pause)
  }
}

/** SQL that formats a `timestamptz` as `Date.toJSON()` does. */
export function jsonTime (column: string): string {
  return `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24":"MI":"SS.MS"Z"')`
}

/**
 * SQLSTATE classes 08, 53 and 57P, a statement or lock timeout (57014, 55P03), a database that is read-only (25006: a standby, or a
 * managed one with a full disk), and Node's codes for sockets. @see https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const AWAY = /^(08|53|57P|57014|55P03|25006)|^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOENT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)$/
/** Conflicts with a concurrent transaction: a deadlock, or a foreign key whose row was just deleted. */
const RACED = /^(40P01|23503)$/
/** A statement or lock timeout. Postgres has ended the statement, and goes on with the connection. */
const TOOK_TOO_LONG = /^(57014|55P03)$/
/** The query before it on this connection, which was to prepare the statement for both, failed. */
const UNPREPARED = '26000'
const TIMED_OUT = /timeout|terminated|not queryable/i

/** Whether the database is unreachable, overloaded or read-only, or a concurrent transaction was in the way, so that trying again may help. */
export function isUnavailable (error: unknown): boolean {
  const { code, message } = reasonOf(error)
  return code === undefined ? TIMED_OUT.test(message) : AWAY.test(code) || RACED.test(code) || code === UNPREPARED
}

/** Whether the connection on which this error occurred is lost, does not answer, or leads to a server that has become a standby. */
function mayHaveBroken (error: unknown) {
  const { code = '' } = reasonOf(error)
  return isUnavailable(error) && !RACED.test(code) && !TOOK_TOO_LONG.test(code)
}

/** Whether the database has answered with an error, so that the statement certainly had no effect. */
export function wasRefused (error: unknown): boolean {
  const reason = reasonOf(error)
  return reason instanceof pg.DatabaseError && !AWAY.test(reason.code!)
}

/** Whether the error is a violation of the named unique constraint or index. */
export function violates (error: unknown, constraint: string): boolean {
  const reason = reasonOf(error)
  return reason.code === '23505' && reason.constraint === constraint
}

/** Waits for a change. If it violates the named unique constraint or index, throws `Refusal` instead of the database's error. */
export async function unlessTaken<T> (change: Promise<T>, constraint: string, Refusal: new () => Error): Promise<T> {
  try {
    return await change
  } catch (error) {
    throw violates(error, constraint) ? new Refusal() : error
  }
}

/** Finds the driver's own error. Drizzle wraps it, and Node collects the errors of several addresses in one. */
export function reasonOf (error: unknown): { code?: string, message: string, constraint?: string } {
  const inner = error as { cause?: unknown, errors?: unknown[] }
  const next = inner.cause ?? inner.errors?.[0]
  return next instanceof Error ? reasonOf(next) : error as Error
}
