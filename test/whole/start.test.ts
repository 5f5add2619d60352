import t, { type Test } from 'tap'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import net from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseEnv, promisify } from 'node:util'
import { cookieWarnings } from '../../src/accounts/cookie.ts'
import { DEFAULT_ORIGINS, type Config } from '../../src/config.ts'
import { createDb, isUnavailable, reachDatabase } from '../../src/db/client.ts'
import { joinPostgres } from '../../src/db/embedded.ts'
import { loggerOptions } from '../../src/http/logging.ts'
import { freshDatabase, run, settings, silent } from '../support/helper.ts'
import { connect, isWaiting, layCable, openPlace, until, urlOf, type Place, type Settings } from '../support/process.ts'

// How the programs start, and the errors that they print if they cannot.

t.jobs = 4 // for tests that are `buffered`

/** A template database without tables. */
const EMPTY = 'template0'
const migrations = (JSON.parse(readFileSync('drizzle/meta/_journal.json', 'utf8')) as { entries: Array<{ tag: string }> }).entries.map(({ tag }) => tag)
const APPLIED = 'SELECT FROM drizzle.__drizzle_migrations'

t.test('a query whose response is lost times out, and the next one uses another connection', { buffered: true }, async t => {
  const cable = await layCable(t, await freshDatabase(t))
  await cable.open()
  const db = createDb({ connectionString: cable.url }, silent)
  t.teardown(() => db.$client.end())
  await db.$client.query('SELECT')
  cable.mute()
  t.ok(isUnavailable(await db.$client.query('SELECT').catch(error => error)))
  await db.$client.query('SELECT')
})

t.test('invalid settings are listed, one on each line', { buffered: true }, async t => {
  const place = await openPlace(t)
  const wrong: Array<[Settings, RegExp]> = [
    [{ PORT: 'abc', CORS_ORIGINS: 'http://localhost:3000/' }, /\n {2}PORT is "abc"; it must be a whole number from 0 to 65535\n {2}CORS_ORIGINS: each origin needs/],
    [{ PUBLIC_URL: 'https://[', JWT_SECRET: 's3cret', DATABASE_URL: 'mysql://root:s3cret@localhost/chat' }, /PUBLIC_URL must be an address .*\n {2}DATABASE_URL must begin with postgres:\/\/.*\n {2}JWT_SECRET needs at least 32 characters/],
    [{ DATABASE_URL: 'postgres://root:s3cret@localhost:port/chat' }, /^DATABASE_URL cannot be read/],
    [{ CORS_ORIGINS: 'http://localhost:3000,http://localhost:99999' }, /^Please correct these settings .*\n {2}CORS_ORIGINS: each origin needs/],
    [{ TRUST_PROXY: '10.0.0.0/33' }, /^Please correct these settings .*\n {2}TRUST_PROXY must be addresses or networks/]
  ]
  await Promise.all(wrong.map(([settings, sentence]) => refuses(t, place, settings, sentence)))

  await writeFile(path.join(place.folder, '.env'), 'DATABASE_URL=\nLOG_LEVEL=loud\nPORT=abc\n')
  await refuses(t, place, { PORT: '' }, /PORT is "abc".*\n {2}LOG_LEVEL is "loud"; it may be trace/, 'settings that are unset or empty in the environment come from .env')
  await writeFile(path.join(place.folder, '.env'), '\uFEFFSIGNUP=nobody\r\n')
  await refuses(t, place, {}, /SIGNUP is "nobody"/, 'a file with a byte order mark, as editors on Windows write it')
})

t.test('make finds the port in .env as the server does', { buffered: true }, async t => {
  const { folder } = await openPlace(t)
  const makefile = path.resolve('Makefile')
  const lines = ['PORT=5001', 'PORT = "5001"', "PORT='5001' # ours", 'export PORT=5001', '  PORT=`5001`', '\tPORT\t=\t5001', 'PORT=5000\r\nPORT=5001\r', '\uFEFFPORT=5001', '# PORT=5001', '#PORT=5001', 'SUPPORT=5001', 'PORT=', 'PORT= # 5001']
  for (const line of lines) {
    await writeFile(path.join(folder, '.env'), `${line}\n`)
    const { PORT } = parseEnv(line.replace(/^\uFEFF/, ''))
    const { stdout } = await promisify(execFile)('make', ['--file', makefile, '--dry-run', 'stop'], { cwd: folder, env: { PATH: process.env['PATH'] } })
    t.match(stdout, `.server-${PORT || '5000'}.pid`, line)
  }
})

t.test('a port in use, an address of another machine, a file in place of a folder', { buffered: true }, async t => {
  const place = await openPlace(t)
  const DATABASE_URL = urlOf(await freshDatabase(t))
  const other = net.createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  const { port } = other.address() as net.AddressInfo
  await refuses(t, place, { PORT: String(port) }, new RegExp(`^Port ${port} is in use: stop what uses it, or choose another one: make run PORT=${port + 1}$`))
  t.equal(await place.runningPostgres(), undefined, 'the Postgres that the server had started is stopped again')
  await refuses(t, place, { DATABASE_URL, HOST: '192.0.2.1' }, /^Cannot listen on 192\.0\.2\.1, port 0: .*Please check HOST and PORT\.$/)
  await writeFile(path.join(place.folder, 'file'), '')
  await refuses(t, place, { DATABASE_URL, DATA_DIR: path.join(place.folder, 'file') }, /^Cannot keep a secret in .*\. Please choose another DATA_DIR, or set JWT_SECRET\.$/)
})

t.test('a generated secret that is damaged', { buffered: true }, async t => {
  const place = await openPlace(t)
  const settings = { DATABASE_URL: urlOf(await freshDatabase(t)) }
  const file = path.join(place.dataDir, 'jwt-secret')
  await mkdir(place.dataDir)
  for (const content of ['', 'cut']) {
    await writeFile(file, content)
    await refuses(t, place, settings, new RegExp(`^${file} is damaged: it needs at least 32 characters\\. Please replace it by your copy\\. .*remove it: .*everybody has to log in again\\.$`))
    t.equal(await readFile(file, 'utf8'), content, 'nothing is made in its place, since there may be a copy')
  }
  await rm(file)
  await place.serve(settings)
  t.ok((await readFile(file, 'utf8')).length >= 32)
})

t.test('a database that refuses the connection', { buffered: true }, async t => {
  const place = await openPlace(t)
  const { connection, leave } = await joinPostgres(place.dataDir)
  t.teardown(leave)
  const rules = path.join(place.dataDir, 'postgres', 'pg_hba.conf')
  await writeFile(rules, `local all visitor scram-sha-256\n${await readFile(rules, 'utf8')}`)
  await run(connection, "CREATE ROLE visitor LOGIN PASSWORD 'right'; SELECT pg_reload_conf()")
  const as = (user: string, password: string, database = 'postgres') => ({ DATABASE_URL: urlOf({ ...connection, user, password, database }) })
  await until(() => run({ ...connection, user: 'visitor', password: 'wrong' }, 'SELECT').then(() => false, () => true))

  await refuses(t, place, as('visitor', 'wrong-s3cret'), /^The database at .* refuses us: password authentication failed for user "visitor"\. Please check DATABASE_URL\.$/)
  await refuses(t, place, as('postgres', '', 'nowhere'), /^The database at .* refuses us: database "nowhere" does not exist\./)
  await refuses(t, place, as('visitor', 'right'), /^The tables cannot be made or updated: permission denied for database postgres\.$/)
})

t.test('the server waits for a database that is not up yet', { buffered: true }, async t => {
  const database = await freshDatabase(t, EMPTY)
  const cable = await layCable(t, database)
  const place = await openPlace(t)
  const server = place.run('server.ts', [], { DATABASE_URL: cable.url, JWT_SECRET: 'x'.repeat(32), OPENAI_APIKEY: 'x' })
  await server.hasSaid(/Waiting for the database at 127\.0\.0\.1:\d+: connect ECONNREFUSED/, 3)
  await cable.open()
  await server.hasSaid(/listening at/)
  t.match(server.said.stdout, /OPENAI_APIKEY is not a setting\. Did you mean OPENAI_API_KEY\?/)
  t.notMatch(server.said.stdout, /JWT_SECRET/)
  t.equal((await run(database, APPLIED)).length, migrations.length)
  server.kill('SIGTERM')
  t.equal((await server.ended).code, 0)
})

t.test('waiting for the database ends after a minute', async t => {
  const { url: DATABASE_URL } = await layCable(t, await freshDatabase(t))
  const said: string[] = []
  const log = { ...silent, warn: (sentence: unknown) => said.push(String(sentence)) }
  await t.rejects(reachDatabase({ DATABASE_URL, DATA_DIR: '' }, log, 1_000), { code: 'CANNOT_START', message: /^No database answers at 127\.0\.0\.1:\d+: connect ECONNREFUSED .* Please start it, or check DATABASE_URL\.$/ })
  t.equal(said.length, 2)
  // The error of Node.js for a name with several addresses.
  t.ok(isUnavailable(new AggregateError([Object.assign(new Error('connect ECONNREFUSED ::1:5432'), { code: 'ECONNREFUSED' })])))
})

t.test('a clock that is set forward does not end the wait for the database', async t => {
  const { url: DATABASE_URL, open } = await layCable(t, await freshDatabase(t))
  const { now } = Date
  t.teardown(() => { Date.now = now })
  let refused = 0
  const warn = () => {
    if (++refused === 1) Date.now = () => now() + 60 * 60 * 1_000
    if (refused === 2) open()
  }
  await t.resolves(reachDatabase({ DATABASE_URL, DATA_DIR: '' }, { ...silent, warn }))
})

t.test('the start fails if the database stops during it', { buffered: true }, async t => {
  const cable = await layCable(t, await freshDatabase(t))
  await cable.open()
  // The first connection checks whether the database answers, the next two migrate, the fourth is the server's own.
  let connections = 0
  cable.server.on('connection', () => { if (++connections === 4) cable.close() })
  const place = await openPlace(t)
  const { code, stdout } = await place.run('server.ts', [], { DATABASE_URL: cable.url }).ended
  t.equal(code, 1)
  t.match(stdout, /"level":60,.*"message":"(Connection terminated unexpectedly|read ECONNRESET)"/, 'the error depends on how the connection ended: closed or reset')
})

t.test('three servers that start at once on an empty database', { buffered: true }, async t => {
  const database = await freshDatabase(t, EMPTY)
  const place = await openPlace(t)
  const settings = { DATABASE_URL: urlOf(database) }
  const postgres = await connect(t, database)
  await postgres.query('BEGIN; CREATE SCHEMA drizzle') // all servers begin with this statement, so they wait for the end of this transaction
  const starting = [1, 2, 3].map(() => place.serve(settings))
  await isWaiting(postgres, starting.length)
  await postgres.query('ROLLBACK')
  const servers = await Promise.all(starting)
  const ann = await servers[0]!.join('ann')
  for (const server of servers) {
    const answer = await server.get('/api/me', undefined, { cookie: ann.cookie })
    t.match(answer, { status: 200, body: { username: 'ann' } }, 'all use the same secret, since they share DATA_DIR')
  }
  t.equal((await run(database, APPLIED)).length, migrations.length, 'each migration ran once')
})

t.test('the commands migrate, rollback and clean', { buffered: true }, async t => {
  const database = await freshDatabase(t, EMPTY)
  const cable = await layCable(t, database)
  const place = await openPlace(t)
  const settings = { DATABASE_URL: urlOf(database) }
  const command = (...args: string[]) => place.run('db/command.ts', args, settings)
  const tables = async () => (await run(database, "SELECT FROM pg_tables WHERE schemaname = 'public'")).length

  const waiting = place.run('db/command.ts', ['migrate'], { DATABASE_URL: cable.url })
  await waiting.hasSaid(/^Waiting for the database/)
  await cable.open()
  t.match(await waiting.ended, { code: 0, stdout: new RegExp(`All migrations are applied to database ${database.database} at 127.0.0.1:${cable.port}.\n$`) })
  t.ok(await tables() > 5)

  for (const tag of migrations.toReversed()) t.match(await command('rollback').ended, { code: 0, stdout: `Undid ${tag}.\n` })
  t.match(await command('rollback').ended, { code: 0, stdout: 'There is no migration to undo.\n' })
  t.equal(await tables(), 0)

  const server = await place.serve(settings)
  t.match(await command('clean', '--force').ended, { code: 1, stdout: '', stderr: 'Parley is running on this database: please stop it first (make stop).\n' })
  server.kill('SIGTERM')
  await server.ended

  for (const answer of ['no\n', '']) {
    const clean = command('clean')
    clean.tell(answer)
    t.match(await clean.ended, { code: 0, stdout: /^This deletes everything in database .*Type yes: .*Nothing was deleted\.\n$/s })
  }
  t.ok(await tables() > 5)
  const slow = command('clean')
  await slow.hasSaid(/Type yes: $/)
  const started = await place.serve(settings)
  slow.tell('yes\n')
  t.match(await slow.ended, { code: 1, stderr: 'Parley is running on this database: please stop it first (make stop).\n' }, 'a server that was started while the question waited')
  t.match(await started.get('/health/ready'), { status: 200 })
  t.ok(await tables() > 5)
  started.kill('SIGTERM')
  await started.ended
  const clean = command('clean')
  clean.tell('Yes\n')
  t.match(await clean.ended, { code: 0, stdout: /Deleted\. The next start, or make init_db, creates the tables again\.\n$/ })
  t.equal(await tables(), 0)
  t.same(await run(database, "SELECT FROM pg_namespace WHERE nspname = 'graphile_worker'"), [], 'the jobs are gone, too')
  await command('migrate').ended
  t.match(await command('clean', '--force').ended, { code: 0, stdout: /Deleted/ })
  t.equal(await tables(), 0)

  t.match(await command('destroy').ended, { code: 1, stdout: '', stderr: 'Please say migrate, rollback, clean, backup or restore.\n' })
})

t.test('one connection stays open when idle, so that commands can see that the server is running', async t => {
  const db = createDb({ ...await freshDatabase(t), idleTimeoutMillis: 10 }, silent)
  t.teardown(() => db.$client.end())
  const removed = once(db.$client, 'remove')
  await Promise.all([db.$client.query('SELECT'), db.$client.query('SELECT')])
  await removed
  await sleep(100) // ten times as long as idleTimeoutMillis
  t.equal(db.$client.totalCount, 1)
})

t.test('at the start, a server warns about settings with which browsers would drop the session cookie', { buffered: true }, async t => {
  const dropped = (changes: Partial<Config>) => cookieWarnings(settings(changes), DEFAULT_ORIGINS).map(({ level, sentence }) => `${level} ${sentence}`)
  const HTTPS = 'https://chat.example.com'

  for (const changes of [
    {},
    { PUBLIC_URL: 'http://chat.example.com' },
    { CORS_ORIGINS: 'http://localhost:3001, http://127.0.0.1:3001' },
    { PUBLIC_URL: 'http://10.0.0.1:5000', CORS_ORIGINS: 'http://10.0.0.1' },
    { PUBLIC_URL: 'http://chat.example.co.uk', CORS_ORIGINS: 'http://example.co.uk:3000,http://www.example.co.uk' }
  ]) t.same(dropped(changes), [], JSON.stringify(changes))

  for (const PUBLIC_URL of [undefined, 'http://chat.example.com']) {
    const [said, ...more] = dropped({ PUBLIC_URL, COOKIE_SAMESITE: 'none', CORS_ORIGINS: 'https://elsewhere.example' })
    t.match(said, /^warn Browsers drop the session cookie: COOKIE_SAMESITE=none .* PUBLIC_URL .*Please /)
    t.same(more, [])
  }

  const strangers: Array<[Partial<Config>, origins: string[]]> = [
    [{}, ['https://localhost:3000', 'http://front.example.com', 'http://10.0.0.1']],
    [{ PUBLIC_URL: 'http://10.0.0.1' }, ['http://10.0.0.2', 'http://localhost:3000']],
    [{ PUBLIC_URL: HTTPS }, ['https://example.org', 'http://chat.example.com', 'http://localhost:3000']],
    [{ PUBLIC_URL: 'https://ann.github.io' }, ['https://bob.github.io']],
    [{ PUBLIC_URL: 'https://ann.co.uk' }, ['https://bob.co.uk']]
  ]
  for (const [changes, origins] of strangers) {
    const said = dropped({ ...changes, CORS_ORIGINS: origins.join() }).filter(line => line.startsWith('warn'))
    t.equal(said.length, origins.length)
    for (const [n, origin] of origins.entries()) t.match(said[n], `Browsers drop the session cookie at ${origin}, which CORS_ORIGINS lists`)
    t.match(said[0], `${changes.PUBLIC_URL ?? 'http://localhost:5000'}. Please set COOKIE_SAMESITE=none`)
  }

  const plain = /^info PUBLIC_URL is https, .* port 5000 by plain http drop it\. Please open https:\/\/chat\.example\.com there\.$/
  for (const changes of [{}, { COOKIE_SAMESITE: 'none' as const, CORS_ORIGINS: 'https://elsewhere.example' }, { CORS_ORIGINS: 'https://www.example.com' }]) {
    const [said, ...more] = dropped({ ...changes, PUBLIC_URL: HTTPS })
    t.match(said, plain)
    t.same(more, [])
  }

  const place = await openPlace(t)
  const server = await place.serve({ DATABASE_URL: urlOf(await freshDatabase(t)), PUBLIC_URL: HTTPS, CORS_ORIGINS: 'https://elsewhere.example', TRUST_PROXY: 'loopback, 10.0.0.0/8, fd00::/8, ::1' })
  server.kill('SIGTERM')
  const { stdout } = await server.ended
  t.match(stdout, /"level":40,.*Browsers drop the session cookie at https:\/\/elsewhere\.example/)
  t.match(stdout, /"level":30,.*PUBLIC_URL is https/)
})

t.test('on a terminal the log is readable text', async t => {
  t.match(loggerOptions({ LOG_LEVEL: 'warn' }, true), { level: 'warn', transport: { target: 'pino-pretty' } })
})

/** Checks that the server ends with exit code 1 and prints only this error. */
async function refuses (t: Test, place: Place, settings: Settings, sentence: RegExp, what = sentence.source) {
  const { code, stdout, stderr } = await place.run('server.ts', [], settings).ended
  t.equal(code, 1, what)
  t.match(stderr.trimEnd(), sentence)
  t.match(stderr, /^[^\n]+\n(?: {2}[^\n]+\n)*$/, 'one line, and a further one for each setting')
  t.notMatch(stdout + stderr, /s3cret|\n\s+at /)
}
