import { text } from 'node:stream/consumers'
import { Value } from 'typebox/value'
import { makeAdmin } from './accounts/admin-store.ts'
import { createPasswords } from './accounts/passwords.ts'
import { NewAccountSchema } from './accounts/schema.ts'
import { createAccountStore } from './accounts/store.ts'
import { readConfig, type Config } from './config.ts'
import { createDb, reachDatabase, type Db } from './db/client.ts'
import { migrateUp } from './db/migrate.ts'
import { CANNOT_START } from './errors.ts'

// node dist/admin.js USERNAME makes an admin of an account, also while the server runs. There is no other way.
// node dist/admin.js --create USERNAME makes the account first, with the password that it reads from its input: on a
// server where nobody can sign up, this is how the first account comes to be.

const say = (sentence: string) => { process.stdout.write(`${sentence}\n`) }
const log = { info: String, warn: (sentence: unknown) => say(String(sentence)), error: String }

try {
  const [flag, ...rest] = process.argv.slice(2)
  const isNew = flag === '--create'
  const username = (isNew ? rest : process.argv.slice(2)).join(' ').trim()
  if (username === '') throw new CANNOT_START('Please say whose account: npm run admin -- USERNAME')
  const config = readConfig()
  const { connection, title, leave } = await reachDatabase(config, log)
  try {
    await migrateUp(connection)
    const db = createDb({ ...connection, max: 1, application_name: 'parley-admin' }, log)
    try {
      if (isNew) await makeAccount(db, config, username)
      if (!await makeAdmin(db, username)) throw new CANNOT_START(`There is no account named ${username} in ${title}: please sign up first.`)
    } finally {
      await db.$client.end()
    }
    say(`${username} is an admin now.`)
  } finally {
    await leave()
  }
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
}

async function makeAccount (db: Db, { BCRYPT_COST }: Config, username: string) {
  const password = (await text(process.stdin)).split(/\r?\n/)[0]!
  const account = { username, password }
  if (!Value.Check(NewAccountSchema, account)) {
    throw new CANNOT_START('A username has 3 to 64 characters that can be seen, and a password, the first line of the input, 8 to 128 characters.')
  }
  /* c8 ignore next -- a new account has no sessions whose end could be announced */
  const announce = async () => {}
  await createAccountStore(db, { announce }).create({ username }, await createPasswords(BCRYPT_COST).hash(password))
}
