import pg from 'pg'
import { reasonOf } from './client.ts'
import { appliedMigrations, ENCODING, knownMigrations, wrongEncoding } from './migrate.ts'

/** The oldest Postgres that works, as in `server_version_num`. */
const MIN_SERVER_VERSION = 150_000

/** A bot in the database; `url` is null unless it is a server elsewhere. */
export interface ExaminedBot { name: string, engine: string, url: string | null }

/** `problem` is a sentence about what is wrong; undefined when nothing is. `clockSkewS` is in seconds. */
interface Examined { problem?: string | undefined, bots: ExaminedBot[], clockSkewS: number }

/** Checks a database without changing anything. */
export async function examineDatabase (connection: pg.ClientConfig): Promise<Examined> {
  const client = new pg.Client({ application_name: 'parley-doctor', ...connection })
  client.on('error', () => { /* the query under way gets it too */ })
  const found = await look(client).catch(error => ({ problem: reasonOf(error).message.replace(/\.?$/, '.'), bots: [], clockSkewS: 0 }))
  await client.end()
  return found
}

async function look (client: pg.Client): Promise<Examined> {
  await client.connect()
  const { rows: [{ version, seconds }] } = await client.query("SELECT current_setting('server_version_num')::int AS version, extract(epoch FROM clock_timestamp())::float8 AS seconds")
  const clockSkewS = Math.abs(Math.round(Date.now() / 1000 - seconds))
  const problem = await problemOf(client, version)
  if (problem !== undefined) return { problem, bots: [], clockSkewS }
  const { rows: bots } = await client.query("SELECT name, engine, settings->>'url' AS url FROM public.chatbots ORDER BY id")
  return { bots, clockSkewS }
}

async function problemOf (client: pg.Client, version: number): Promise<string | undefined> {
  /* c8 ignore next -- needs a Postgres that is older than those of the tests */
  if (version < MIN_SERVER_VERSION) return `Postgres ${Math.floor(version / 10_000)} is too old, it has to be ${MIN_SERVER_VERSION / 10_000} or newer.`
  const { rows: [{ encoding, readonly }] } = await client.query("SELECT current_setting('server_encoding') AS encoding, current_setting('transaction_read_only') AS readonly")
  if (encoding !== ENCODING) return wrongEncoding(encoding)
  if (readonly === 'on') return 'It is read-only, so nothing can be stored: it is a standby, its disk is full, or default_transaction_read_only is set.'
  const known = (await knownMigrations()).length
  const missing = known - (await appliedMigrations(client)).length
  return missing === 0 ? await heldOnWhatsApp(client) : `${missing} of ${known} migrations are missing: npm run db:migrate applies them, and so does the next start.`
}

async function heldOnWhatsApp (client: pg.Client) {
  const { rows: [hold] } = await client.query("SELECT to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI \"UTC\"') AS since, concat_ws(', ', 'code ' || error_code, error) AS reason FROM public.whatsapp_holds")
  return hold && `WhatsApp has accepted none of our messages since ${hold.since} (${hold.reason}). They are held until it does, for 24 hours at most. docs/whatsapp.md says what to do.`
}
