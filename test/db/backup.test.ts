import t, { type Test } from 'tap'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import net from 'node:net'
import path from 'node:path'
import { pipeline } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { TLSSocket } from 'node:tls'
import { gunzipSync, gzipSync } from 'node:zlib'
import type pg from 'pg'
import { joinPostgres } from '../../src/db/embedded.ts'
import { migrateDown } from '../../src/db/migrate.ts'
import { freshDatabase, run } from '../support/helper.ts'
import { installed, startPostgres } from '../support/postgres.ts'
import { connect, isWaiting, openPlace, until, urlOf, type Client, type Place, type Settings } from '../support/process.ts'

// Backup and restore with the commands that an operator uses.

t.jobs = 3 // for tests that are `buffered`

/** Values with characters that need escaping in a text format. */
const TEXTS = ['tab\there', 'lines\n\nand\r\nmore', 'back\\slash \\N \\t', '\\.', 'COPY messages (text) FROM stdin;', 'ends\u2028of\u2029lines\u0085', '𝄞 é', "quo'te $$ \"", '-- PostgreSQL database dump complete',
  ...['a', 'b', 'c', 'd', 'e'].map(letter => letter.repeat(8_000))]

const ROWS = `
  SELECT relname AS name, query_to_xml(format('SELECT r::text AS row FROM %s r ORDER BY 1', oid::regclass), true, true, '')::text AS rows
  FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text = ANY ('{public,drizzle,graphile_worker}') ORDER BY 1`
const SAID = 'SELECT conversation_id, id, sender, text, created_at FROM messages WHERE conversation_id = 1 ORDER BY id'
const MIGRATIONS = 'SELECT created_at FROM drizzle.__drizzle_migrations ORDER BY 1'
const COLUMNS = `
  SELECT table_schema, table_name, column_name, udt_name, is_nullable, column_default, is_generated, identity_generation
  FROM information_schema.columns WHERE table_schema IN ('public', 'drizzle', 'graphile_worker') ORDER BY 1, 2, 3`

/** Every row of every table, as text. */
const everything = (connection: pg.ClientConfig) => run(connection, ROWS)

/** Starts a server and fills its database. Conversation 1 is Ann's. */
async function fill (place: Place, settings: Settings, connection: pg.ClientConfig) {
  const server = await place.serve(settings)
  const ann = await server.join('ann')
  await ann.patch('/api/me', { email: 'ann@example.com', current_password: 'correct horse' })
  await ann.post('/api/conversations', { name: 'Plans' })
  for (const text of TEXTS) await ann.post('/api/conversations/1/messages', { text })
  await ann.delete('/api/conversations/1/messages/1')
  for (const user_message of ['hello', 'John', 'Bohemian Rhapsody']) await server.post('/chat', { user_phone: '1111111111', user_message })
  await run(connection, `
    INSERT INTO whatsapp_inbox (whatsapp_id, kind, contact, body, sent_at) VALUES ('wamid.1', 'message', '49', '\\x00ff5c2e0a', now());
    SELECT graphile_worker.add_job('nobody-does-this', '{"a": [1, null]}', job_key => 'later', run_at => now() + interval '1 day')`)
  return { server, ann }
}

/** Sends one message after the other until `end` is called. */
function keepWriting (ann: Client) {
  const over = new AbortController()
  let sent = 0
  const writing = (async () => {
    for (; !over.signal.aborted; sent++) {
      await ann.post('/api/conversations/1/messages', { text: `Message ${sent}` })
      await sleep(10)
    }
  })()
  return { sent: () => sent, async end () { over.abort(); await writing } }
}

async function roundTrip (t: Test, place: Place, settings: Settings, connection: pg.ClientConfig, way: RegExp, options: string[]) {
  const command = (...args: string[]) => place.run('db/command.ts', args, settings).ended
  const { server, ann } = await fill(place, settings, connection)
  const during = path.join(place.folder, 'during.sql.gz')

  const writer = keepWriting(ann)
  await until(() => writer.sent() > 10)
  const before = writer.sent()
  t.match(await command('backup', during, ...options), { code: 0, stdout: way, stderr: '' })
  await until(() => writer.sent() > before + 10)
  await writer.end()
  const all = await run(connection, SAID)
  t.equal(statSync(during).mode & 0o777, 0o600, 'only the owner can read the file')
  t.same((await readdir(place.folder)).filter(name => name.endsWith('.part')), [])

  server.kill('SIGTERM')
  await server.ended
  // An embedded Postgres would stop together with its server.
  const [rows, columns] = await whileItRuns(place, settings, async connection => {
    t.match(await command('backup', ...options), { code: 0, stdout: way, stderr: '' })
    return [await everything(connection), await run(connection, COLUMNS)]
  })
  t.ok(rows.length > 15)
  const [quiet] = await readdir(path.join(place.dataDir, 'backups'))
  t.match(quiet, /^parley-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.sql\.gz$/)
  const file = path.join(place.dataDir, 'backups', quiet!)

  t.match(await command('clean', '--force'), { code: 0 })
  t.match(await command('backup'), { code: 1, stderr: 'There is nothing to back up: Parley has no tables in this database.\n' })
  t.match(await command('restore', file), { code: 0, stderr: '', stdout: new RegExp(`${file} was restored to .*`) }, 'a restore into an empty database needs no confirmation')
  await whileItRuns(place, settings, async connection => {
    t.same(await everything(connection), rows, 'all rows are the same')
    t.same(await run(connection, COLUMNS), columns)
  })

  t.match(await command('restore', during, '--force'), { code: 0, stderr: '' })
  await whileItRuns(place, settings, async connection => {
    const restored = await run(connection, SAID)
    t.same(restored, all.slice(0, restored.length), 'the backup has all messages up to one moment')
    t.equal(restored.length % 2, 0, 'each message has its reply')
    t.ok(restored.length >= 2 * (TEXTS.length + before), 'that moment is not before the start of the backup')
    t.same(restored.slice(2, 2 * TEXTS.length).filter(({ sender }) => sender === 'user').map(({ text }) => text), TEXTS.slice(1))
  })
  const again = await place.serve(settings)
  const next = await again.post('/api/conversations', { name: 'Later' }, { cookie: ann.cookie })
  t.match(next, { status: 201, body: { id: 3 } }, 'Ann is still logged in, and new ids follow the restored ones')
  t.match((await again.post('/chat', { user_phone: '1111111111', user_message: 'And now?' })).body, { bot_message: 'Hello John! Your favorite song is Bohemian Rhapsody' })
  again.kill('SIGTERM')
  await again.ended
  return { file, rows, command }
}

/** Puts TLS in front of the Postgres at this socket, with a new certificate. openssl comes with Debian's Postgres. @see https://www.postgresql.org/docs/current/protocol-flow.html, SSL session encryption */
async function encrypt (t: Test, postgres: string) {
  const own = execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=localhost', '-keyout', '-'], { stdio: ['ignore', 'pipe', 'ignore'] })
  const server = net.createServer(client => {
    client.once('data', () => { // the request for TLS
      client.write('S')
      const inner = new TLSSocket(client, { isServer: true, key: own, cert: own })
      pipeline(inner, net.connect(postgres), inner, () => { /* one of them has ended */ })
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  return server.address() as net.AddressInfo
}

/** Runs `work` on the database of the settings. An embedded Postgres is kept running meanwhile. */
async function whileItRuns<T> (place: Place, { DATABASE_URL }: Settings, work: (connection: pg.ClientConfig) => Promise<T>) {
  if (DATABASE_URL !== undefined) return await work({ connectionString: DATABASE_URL })
  const { connection, leave } = await joinPostgres(place.dataDir)
  return await work(connection).finally(leave)
}

t.test('the embedded database, by pg_dump if it is installed', { buffered: true }, async t => {
  const place = await openPlace(t)
  const { connection, leave } = await joinPostgres(place.dataDir)
  t.teardown(leave)
  await roundTrip(t, place, {}, connection, /^Everything in the embedded database in .* is in \/.*\.sql\.gz, written by (Parley itself|pg_dump)\.\n$/, [])
})

t.test('a database of DATABASE_URL, without pg_dump', { buffered: true }, async t => {
  const place = await openPlace(t)
  const database = await freshDatabase(t)
  const settings = { DATABASE_URL: urlOf(database) }
  await run(database, 'CREATE TABLE notes (text text)')
  const { file, command } = await roundTrip(t, place, settings, database, /, written by Parley itself\.\n$/, ['--plain'])
  t.match(await run(database, 'TABLE notes'), [], 'a table that is not Parley’s is kept')

  await t.test('a restore asks for confirmation, and refuses while the server runs', async t => {
    const before = await everything(database)
    const restore = place.run('db/command.ts', ['restore', file], settings)
    restore.tell('no\n')
    t.match(await restore.ended, { code: 0, stdout: /^This replaces everything in database .* with .*Type yes: .*Nothing was changed\.\n$/s })
    t.same(await everything(database), before)
    const said = await run(database, SAID)
    const server = await place.serve(settings)
    const refused = { code: 1, stderr: 'Parley is running on this database: please stop it first (make stop).\n' }
    t.match(await command('restore', file, '--force'), refused)
    await run(database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'parley%'")
    await until(async () => (await run(database, "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'parley-jobs'")).length > 0)
    t.match(await command('restore', file, '--force'), refused, 'a server without requests since Postgres was restarted')
    server.kill('SIGTERM')
    await server.ended
    const named = await place.serve({ DATABASE_URL: `${urlOf(database)}&application_name=shop` })
    t.match(await command('restore', file, '--force'), refused, 'a server with another name in DATABASE_URL')
    named.kill('SIGTERM')
    await named.ended
    t.same(await run(database, SAID), said)

    const slow = place.run('db/command.ts', ['restore', file], settings)
    await slow.hasSaid(/Type yes: $/)
    const started = await place.serve(settings)
    await started.post('/chat', { user_phone: '2222222222', user_message: 'hello' })
    const stored = await run(database, SAID)
    slow.tell('yes\n')
    t.match(await slow.ended, refused, 'a server that was started while the question waited')
    t.same(await run(database, SAID), stored, 'what was sent to it is kept')
    started.kill('SIGTERM')
    await started.ended
  })

  await t.test('a damaged file changes nothing', async t => {
    const before = await everything(database)
    const whole = readFileSync(file)
    const text = gunzipSync(whole).toString()
    const broken: Record<string, [Buffer, RegExp]> = {
      cut: [whole.subarray(0, whole.length / 2), /unexpected end of file/],
      other: [Buffer.from('SELECT 1;\n'), /it is not gzipped, as backups are \(incorrect header check\)/],
      ends: [gzipSync(text.slice(0, text.indexOf('\\.\n'))), /it ends in the middle of a table/],
      between: [gzipSync(text.slice(0, text.indexOf('COPY public.users'))), /it is not a complete backup/],
      row: [gzipSync(text.replace('COPY public.users', 'nobody\nCOPY public.users').replace(/(COPY public.users .*\n)/, '$1nonsense\n')), /syntax error/],
      rows: [gzipSync(text.replace(/(COPY public.users .*\n)/, '$1nonsense\n')), /invalid input syntax for type bigint: "nonsense"/]
    }
    for (const [name, [content, why]] of Object.entries(broken)) {
      const file = path.join(place.folder, `${name}.gz`)
      await writeFile(file, content)
      const { code, stderr } = await command('restore', file, '--force')
      t.equal(code, 1, name)
      t.match(stderr, new RegExp(`^${file} cannot be restored, and nothing was changed: .*${why.source}`))
      t.equal(stderr.trim().split('\n').length, 1)
    }
    t.match(await command('restore', 'nowhere.gz', '--force'), { code: 1, stderr: /^nowhere\.gz cannot be restored, and nothing was changed: ENOENT/ })
    t.match(await command('restore'), { code: 1, stderr: /^Please say which backup: make restore FILE=/ })
    t.same(await everything(database), before)
  })

  await t.test('a backup that cannot be written ends with an error', async t => {
    t.match(await command('backup', place.folder, '--plain'), { code: 1, stderr: `${place.folder} is not a file. Please name the file to write, such as FILE=/mnt/backups/parley.sql.gz.\n` })
    t.notOk(existsSync(`${place.folder}.part`), 'nothing is left beside the folder')
    t.match(await command('backup', path.join(file, 'parley.sql.gz'), '--plain'), { code: 1, stderr: /^ENOTDIR: not a directory/ }, 'a folder that is a file')
    t.match(await command('backup', '/proc/backups/parley.sql.gz', '--plain'), { code: 1, stderr: /^ENOENT: no such file or directory/ }, 'a folder that cannot be made')
  })

  await t.test('a backup that a signal ends leaves no draft', async t => {
    const other = await connect(t, database)
    await other.query('BEGIN; LOCK TABLE users')
    const folder = path.join(place.folder, 'ended')
    const backup = place.run('db/command.ts', ['backup', path.join(folder, 'parley.sql.gz'), '--plain'], { DATABASE_URL: urlOf(database) })
    await isWaiting(other)
    await until(() => existsSync(path.join(folder, 'parley.sql.gz.part')))
    backup.kill('SIGTERM')
    t.match(await backup.ended, { code: 143, stderr: '' })
    t.same(await readdir(folder), [])
    await other.query('COMMIT')
  })

  await t.test('two backups into the same file at once are written one after the other', async t => {
    const before = await everything(database)
    const both = path.join(place.folder, 'both.sql.gz')
    const other = await connect(t, database)
    await other.query('BEGIN; LOCK TABLE users')
    const first = command('backup', both, '--plain')
    await isWaiting(other)
    const second = command('backup', both, '--plain')
    await isWaiting(other, 2)
    await other.query('COMMIT')
    for (const backup of [first, second]) t.match(await backup, { code: 0, stderr: '' })
    t.match(await command('restore', both, '--force'), { code: 0, stderr: '' })
    t.same(await everything(database), before)
  })

  await t.test('a backup of an older version is migrated after the restore', async t => {
    const old = await freshDatabase(t)
    const theirs = { DATABASE_URL: urlOf(old) }
    const newest = await run(old, MIGRATIONS)
    for (let n = 0; n < 2; n++) await migrateDown(old)
    const file = path.join(place.folder, 'old.sql.gz')
    t.match(await place.run('db/command.ts', ['backup', file, '--plain'], theirs).ended, { code: 0 })
    t.match(await command('restore', file, '--force'), { code: 0, stderr: '' })
    t.same(await run(database, MIGRATIONS), newest)
  })

  await t.test('a backup of another version of Parley', async t => {
    await run(database, "INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES ('of a later version', 99999999999999)")
    t.match(await command('backup', '--plain'), { code: 1, stderr: /another version of Parley/ })
    t.match(await command('restore', file, '--force'), { code: 1, stderr: /another version of Parley/ })
  })
})

t.test('a command that Ctrl-C ends stops the Postgres that it has started', { buffered: true }, async t => {
  const place = await openPlace(t)
  t.match(await place.run('db/command.ts', ['migrate']).ended, { code: 0 })
  const asking = place.run('db/command.ts', ['clean'])
  await asking.hasSaid(/Type yes: $/)
  asking.kill('SIGINT')
  t.match(await asking.ended, { code: 130, stderr: '' })
  t.equal(await place.runningPostgres(), undefined)
  const starting = place.run('admin.ts', ['--create', 'ann'])
  await until(place.runningPostgres)
  starting.kill('SIGINT')
  t.match(await starting.ended, { code: 130, stderr: '' }, 'during the start')
  t.equal(await place.runningPostgres(), undefined)

  const elsewhere = place.run('db/command.ts', ['migrate'], { DATABASE_URL: 'postgres://127.0.0.1:1/nowhere' })
  await elsewhere.hasSaid(/^Waiting for the database/)
  elsewhere.kill('SIGINT')
  t.match(await elsewhere.ended, { code: 130, stderr: '' }, 'it does not wait for a database that does not answer')
})

t.test('by pg_dump, and from one major version of Postgres to another', { buffered: true, skip: installed === undefined && 'no Postgres with pg_dump is installed in /usr/lib/postgresql' }, async t => {
  const place = await openPlace(t)
  const { connection } = await startPostgres(t, installed)
  const settings = { DATABASE_URL: urlOf(connection) }
  const { file, rows, command } = await roundTrip(t, place, settings, connection, /, written by pg_dump\.\n$/, [])

  await t.test('a restore into the embedded database', async t => {
    const elsewhere = await openPlace(t)
    t.match(await elsewhere.run('db/command.ts', ['restore', file]).ended, { code: 0, stderr: '' })
    await whileItRuns(elsewhere, {}, async connection => t.same(await everything(connection), rows))
  })

  await t.test('over TLS, from a server with a certificate of its own', async t => {
    const { port } = await encrypt(t, path.join(connection.host, `.s.PGSQL.${connection.port}`))
    const encrypted = { DATABASE_URL: `postgres://postgres@127.0.0.1:${port}/postgres?sslmode=no-verify` }
    t.match(await place.run('db/command.ts', ['backup', path.join(place.folder, 'tls.sql.gz')], encrypted).ended, { code: 0, stdout: /, written by pg_dump\.\n$/, stderr: '' })
  })

  await t.test('a database that other programs use too can be restored in place, and what is theirs stays', async t => {
    const shared = path.join(place.folder, 'shared.sql.gz')
    await run(connection, 'CREATE TABLE "notes (" AS SELECT \'theirs\' AS text')
    const before = await everything(connection)
    t.match(await command('backup', shared), { code: 0, stderr: '' })
    t.match(await command('restore', shared, '--force'), { code: 0, stderr: '' })
    t.same(await everything(connection), before)
    t.same(await run(connection, 'TABLE "notes ("'), [{ text: 'theirs' }])
    await run(connection, 'DROP TABLE "notes ("')
  })

  await t.test('psql can restore a backup of our own, too', async t => {
    const plain = path.join(place.folder, 'plain.sql.gz')
    t.match(await command('restore', file, '--force'), { code: 0 })
    t.match(await command('backup', plain, '--plain'), { code: 0, stdout: /written by Parley itself/ })
    await run(connection, 'CREATE DATABASE other')
    const other = { ...connection, database: 'other' }
    execFileSync(path.join(installed!, 'psql'), ['--quiet', '--single-transaction', '--set=ON_ERROR_STOP=1', '--host', connection.host, '--username=postgres', 'other'], { input: gunzipSync(readFileSync(plain)), stdio: ['pipe', 'ignore', 'inherit'] })
    t.same(await everything(other), rows)
  })
})
