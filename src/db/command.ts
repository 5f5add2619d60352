import path from 'node:path'
import { createInterface } from 'node:readline/promises'
import pg from 'pg'
import { readConfig, type Config } from '../config.ts'
import { CANNOT_START } from '../errors.ts'
import { backUp } from './backup.ts'
import { APPLICATION_NAMES, visitDatabase, type Database } from './client.ts'
import { alone, appliedMigrations, migrateDown, migrateUp, removeAll } from './migrate.ts'
import { restore } from './restore.ts'

// node dist/db/command.js migrate | rollback | clean [--force] | backup [FILE] [--plain] | restore FILE [--force]

const [name = '', ...args] = process.argv.slice(2)
const file = args.find(arg => !arg.startsWith('--'))

const commands: Record<string, (database: Database, config: Config) => Promise<void>> = {
  async migrate ({ connection, title }) {
    await migrateUp(connection, log)
    say(`All migrations are applied to ${title}.`)
  },

  async rollback ({ connection }) {
    const undone = await migrateDown(connection)
    say(undone === undefined ? 'There is no migration to undo.' : `Undid ${undone}.`)
  },

  /** Undoes every migration, which deletes all data and all pending jobs. */
  async clean ({ connection, title }) {
    await unlessInUse(connection)
    say(`This deletes everything in ${title}: all accounts, conversations and messages.`)
    if (!await agrees('Delete it all?')) return say('Nothing was deleted.')
    await unlessInUse(connection) // a server may have been started while the question waited
    await alone(connection, async client => {
      await client.query('BEGIN')
      await removeAll(client)
      await client.query('COMMIT')
    })
    say('Deleted. The next start, or make init_db, creates the tables again.')
  },

  /** Can be used while the server runs. */
  async backup ({ connection, title }, { DATA_DIR }) {
    const moment = new Date().toISOString().slice(0, 19).replaceAll(':', '-')
    const target = path.resolve(file ?? path.join(DATA_DIR, 'backups', `parley-${moment}.sql.gz`))
    const way = await backUp(connection, target, args.includes('--plain'))
    say(`Everything in ${title} is in ${target}, ${way}.`)
  },

  /** Then applies the migrations that the backup lacks. */
  async restore ({ connection, title }) {
    if (file === undefined) throw new CANNOT_START('Please say which backup: make restore FILE=data/backups/….sql.gz')
    await unlessInUse(connection)
    if ((await alone(connection, appliedMigrations)).length > 0) {
      say(`This replaces everything in ${title} with ${file}.`)
      if (!await agrees('Replace it all?')) return say('Nothing was changed.')
      await unlessInUse(connection)
    }
    await restore(connection, file)
    await migrateUp(connection, log)
    say(`${file} was restored to ${title}.`)
  }
}

/** A server that is idle since Postgres was restarted has no connection in its pool, but those for jobs and notifications. */
async function unlessInUse (connection: pg.ClientConfig) {
  const client = new pg.Client(connection)
  client.on('error', () => { /* the running query rejects with it too */ })
  await client.connect()
  const { rowCount } = await client.query(
    'SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = ANY ($1)', [Object.values(APPLICATION_NAMES)])
  await client.end()
  if (rowCount !== 0) throw new CANNOT_START('Parley is running on this database: please stop it first (make stop).')
}

async function agrees (question: string) {
  if (args.includes('--force')) return true
  const terminal = createInterface({ input: process.stdin, output: process.stdout })
  const ended = new Promise<string>(resolve => terminal.once('close', () => resolve('')))
  const answer = await Promise.race([terminal.question(`${question} Type yes: `), ended])
  terminal.close()
  return answer.trim().toLowerCase() === 'yes'
}

function say (sentence: string) {
  process.stdout.write(`${sentence}\n`)
}

const logged = (sentence: unknown) => say(String(sentence))
const log = { info: logged, warn: logged, error: logged }

try {
  const command = commands[name]
  if (command === undefined) throw new CANNOT_START('Please say migrate, rollback, clean, backup or restore.')
  const config = readConfig()
  await visitDatabase(config, log, async database => { await command(database, config) })
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
}
