import { makeAdmin } from './accounts/admin-store.js'
import { readConfig } from './config.js'
import { createDb, reachDatabase } from './db/client.js'
import { migrateUp } from './db/migrate.js'
import { CANNOT_START } from './errors.js'

// node dist/admin.js USERNAME: makes an admin of an account, also while the server runs. There is no other way.

const say = (sentence: string) => { process.stdout.write(`${sentence}\n`) }
const log = { info: String, warn: (sentence: unknown) => say(String(sentence)), error: String }

try {
  const username = process.argv.slice(2).join(' ').trim()
  if (username === '') throw new CANNOT_START('Please say whose account: npm run admin -- USERNAME')
  const { connection, title, leave } = await reachDatabase(readConfig(), log)
  try {
    await migrateUp(connection)
    const db = createDb({ ...connection, max: 1, application_name: 'parley-admin' }, log)
    const isThere = await makeAdmin(db, username).finally(() => db.$client.end())
    if (!isThere) throw new CANNOT_START(`There is no account named ${username} in ${title}: please sign up first.`)
    say(`${username} is an admin now.`)
  } finally {
    await leave()
  }
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
}
