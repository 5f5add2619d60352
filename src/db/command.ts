import { createInterface } from 'node:readline/promises'
import pg from 'pg'
import { readConfig } from '../config.js'
import { CANNOT_START } from '../errors.js'
import { APPLICATION_NAME, reachDatabase, type Database } from './client.js'
import { dropQueue, migrateDown, migrateUp } from './migrate.js'

// node dist/db/command.js migrate | rollback | clean [--force]

const commands: Record<string, (database: Database) => Promise<void>> = {
  async migrate ({ connection, title }) {
    await migrateUp(connection)
    say(`All migrations are applied to ${title}.`)
  },

  async rollback ({ connection }) {
    const undone = await migrateDown(connection)
    say(undone === undefined ? 'There is no migration to undo.' : `Undid ${undone}.`)
  },

  /** Undoes every migration, and with them goes everything that was stored, and what was still to be done. */
  async clean ({ connection, title }) {
    if (await isInUse(connection)) throw new CANNOT_START('Parley is running on this database: please stop it first (make stop).')
    say(`This deletes everything in ${title}: all accounts, conversations and messages.`)
    if (!process.argv.includes('--force') && !await agrees('Delete it all? Type yes: ')) return say('Nothing was deleted.')
    let undone
    do undone = await migrateDown(connection)
    while (undone !== undefined)
    await dropQueue(connection)
    say('Deleted. The next start, or make init_db, makes the tables anew.')
  }
}

async function isInUse (connection: pg.ClientConfig) {
  const client = new pg.Client(connection)
  client.on('error', () => { /* the query under way gets it too */ })
  await client.connect()
  const { rowCount } = await client.query(
    'SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1', [APPLICATION_NAME])
  await client.end()
  return rowCount !== 0
}

async function agrees (question: string) {
  const terminal = createInterface({ input: process.stdin, output: process.stdout })
  const ended = new Promise<string>(resolve => terminal.once('close', () => resolve('')))
  const answer = await Promise.race([terminal.question(question), ended])
  terminal.close()
  return answer.trim().toLowerCase() === 'yes'
}

function say (sentence: string) {
  process.stdout.write(`${sentence}\n`)
}

const logged = (sentence: unknown) => say(String(sentence))

try {
  const command = commands[String(process.argv[2])]
  if (command === undefined) throw new CANNOT_START('Please say migrate, rollback or clean.')
  const database = await reachDatabase(readConfig(), { info: logged, warn: logged, error: logged })
  try {
    await command(database)
  } finally {
    await database.leave()
  }
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
}
