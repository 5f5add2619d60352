import { text } from 'node:stream/consumers'
import { Value } from 'typebox/value'
import { makeAdmin } from './accounts/admin-store.ts'
import { createPasswords } from './accounts/passwords.ts'
import { NewAccountSchema } from './accounts/schema.ts'
import { createAccountStore } from './accounts/store.ts'
import { readConfig, type Config } from './config.ts'
import { createDb, visitDatabase, type Db } from './db/client.ts'
import { migrateUp } from './db/migrate.ts'
import { CANNOT_START } from './errors.ts'

// node dist/admin.js USERNAME makes an account an admin, also while the server runs. The only other way is ADMIN_CLAIM.
// node dist/admin.js --subject SUB does so for the user with this `sub` at OIDC_ISSUER, who may have no username.
// node dist/admin.js --create USERNAME creates the account first. It reads the password from the first line of its input. On a
// server where nobody can sign up, this creates the first account.

const USAGE = 'Usage: npm run admin -- USERNAME, or --create USERNAME, or --subject SUB (docs/admin.md)'

const say = (sentence: string) => { process.stdout.write(`${sentence}\n`) }
const log = { info: String, warn: (...[details, sentence = details]: unknown[]) => say(String(sentence)), error: String }

try {
  const [flag, ...rest] = process.argv.slice(2)
  const isNew = flag === '--create'
  const isSubject = flag === '--subject'
  const username = (isNew || isSubject ? rest : process.argv.slice(2)).join(' ').trim()
  if (username === '') throw new CANNOT_START(`Please say whose account.\n${USAGE}`)
  const config = readConfig()
  const who = isSubject ? { issuer: issuerOf(config), subject: username } : username
  await visitDatabase(config, log, async ({ connection, title }) => {
    await migrateUp(connection)
    const db = createDb({ ...connection, max: 1, application_name: 'parley-admin' }, log)
    try {
      if (isNew) await makeAccount(db, config, username)
      if (!await makeAdmin(db, who)) throw new CANNOT_START(`There is no account ${isSubject ? 'of' : 'named'} ${username} in ${title}: please ${isSubject ? 'sign in first' : howToSignUp(config)}.${username.startsWith('-') ? `\n${USAGE}` : ''}`)
    } finally {
      await db.$client.end()
    }
    say(`${username} is an admin now.`)
  })
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
}

function issuerOf ({ OIDC_ISSUER }: Config) {
  if (OIDC_ISSUER === undefined) throw new CANNOT_START('--subject is for users of OIDC_ISSUER, which is not set.')
  return OIDC_ISSUER
}

function howToSignUp ({ PASSWORDS, SIGNUP }: Config) {
  if (PASSWORDS === 'off') return 'sign in first'
  return SIGNUP === 'open' ? 'sign up first' : `create it with --create, because SIGNUP is ${SIGNUP}`
}

async function makeAccount (db: Db, config: Config, username: string) {
  if (config.PASSWORDS === 'off') throw new CANNOT_START('PASSWORDS is off, so that nobody could log in to a new account. Please sign in on the page first, then run this command without --create.')
  const password = (await text(process.stdin)).split(/\r?\n/)[0]!
  const account = { username, password }
  if (!Value.Check(NewAccountSchema, account)) {
    throw new CANNOT_START('A username needs 3 to 64 visible characters. The password is the first line of the input, and needs 8 to 128 characters.')
  }
  /* c8 ignore next -- a new account has no sessions whose end could be announced */
  const announce = async () => {}
  await createAccountStore(db, { announce }).create({ username }, await createPasswords(config).hash(password))
}
