import pg from 'pg'
import { reasonOf } from './client.js'
import { appliedMigrations, knownMigrations } from './migrate.js'

/** Of Postgres, as `server_version_num` has it. */
const OLDEST = 150_000

/** What keeps this version of Parley from working with a database, in a sentence; undefined when nothing does. Only reads. */
export async function examineDatabase (connection: pg.ClientConfig): Promise<string | undefined> {
  const client = new pg.Client({ application_name: 'parley-doctor', ...connection })
  client.on('error', () => { /* the query under way gets it too */ })
  const problem = await look(client).catch(error => reasonOf(error).message.replace(/\.?$/, '.'))
  await client.end()
  return problem
}

async function look (client: pg.Client) {
  await client.connect()
  const { rows: [{ version }] } = await client.query("SELECT current_setting('server_version_num')::int AS version")
  /* c8 ignore next -- takes a Postgres older than those that run here */
  if (version < OLDEST) return `Postgres ${Math.floor(version / 10_000)} is too old, it has to be ${OLDEST / 10_000} or newer.`
  const known = (await knownMigrations()).length
  const missing = known - (await appliedMigrations(client)).length
  return missing === 0 ? undefined : `${missing} of ${known} migrations are missing: npm run db:migrate applies them, and so does the next start.`
}
