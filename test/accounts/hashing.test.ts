import t from 'tap'
import { fork, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import os from 'node:os'
import { text } from 'node:stream/consumers'
import bcrypt from 'bcrypt'
import { createHashing } from '../../src/accounts/hashing.ts'
import { loaderUrl } from '../support/load-faster.ts'
import { openPlace, until } from '../support/process.ts'

const noProcesses = existsSync('/proc/self/stat') ? false : 'skipped: the system does not list processes in /proc'
const noSessions = await whyNoSessions()

/** The processes that hash passwords for this one, or for another one. */
const hashProcesses = (parent = process.pid) => readdirSync('/proc').map(Number).filter(pid => {
  try {
    const [, itsParent] = /^\d+ \(.*\) \S (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))! // "pid (name) state ppid …"
    return Number(itsParent) === parent && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('hash-process')
  } catch {
    return false // it is not a number, or has ended
  }
})
/** The priority that Linux compares between sessions, of the session of a process, and the name of that session. */
const sessionOf = (pid: number) => {
  const [name, priority] = readFileSync(`/proc/${pid}/autogroup`, 'utf8').trim().split(' nice ') // "/autogroup-93 nice 0"
  return { name, priority: Number(priority) }
}
const untilThereIsNone = (parent?: number) => until(() => hashProcesses(parent).length === 0)

t.test('passwords are hashed and compared by bcrypt', async t => {
  const { hash, compare } = createHashing(1)
  const [one, other] = await Promise.all([hash('correct horse', 4), hash('battery staple', 5)])
  t.match([one, other], [/^\$2b\$04\$/, /^\$2b\$05\$/])
  t.same(await Promise.all([bcrypt.compare('correct horse', one), bcrypt.compare('battery staple', other)]), [true, true])
  t.same(await Promise.all([compare('correct horse', one), compare('correct horse', other), compare('battery staple', other)]), [true, false, true], 'each gets its own answer')
  t.equal(await compare('correct horse', 'not a hash'), false)
})

t.test('the process ends when there was nothing to hash for a while, and another one starts', { skip: noProcesses }, async t => {
  const { hash, compare } = createHashing(1)
  const made = await hash('correct horse', 4)
  await untilThereIsNone()
  t.equal(await compare('correct horse', made), true)
  await untilThereIsNone()
})

t.test('another process takes over from one that was killed, once', { skip: noProcesses }, async t => {
  const { hash, compare } = createHashing(1)
  const kill = async () => {
    const pid = await until(() => hashProcesses()[0])
    process.kill(pid, 'SIGKILL')
    await until(() => !hashProcesses().includes(pid))
  }
  const made = hash('correct horse', 13)
  await kill()
  t.equal(await bcrypt.compare('correct horse', await made), true)

  const slow = t.rejects(hash('correct horse', 20), { message: 'The process that hashes passwords has ended', cause: { message: 'Exit code null, signal SIGKILL' } })
  await kill()
  await kill()
  await slow
  t.equal(await compare('correct horse', await made), true, 'later passwords do not suffer')
  await untilThereIsNone()
})

t.test('the process has a lower priority than the server and Postgres, and ends with the server', { skip: noProcesses }, async t => {
  const place = await openPlace(t)
  const server = await place.serve()
  t.same(hashProcesses(server.pid), [], 'there is none before the first password')
  await server.join('ann')
  const [pid] = hashProcesses(server.pid)
  t.same([pid!, server.pid].map(pid => os.getPriority(pid)), [10, 0])
  if (noSessions === false) {
    await until(() => sessionOf(pid!).priority !== 0) // the system may refuse this at first
    const postgres = await place.runningPostgres()
    const sessions = [pid!, server.pid, postgres!.pid].map(sessionOf)
    t.same(sessions.map(({ priority }) => priority), [10, sessionOf(process.pid).priority, 0], 'also where Linux compares sessions')
    t.equal(new Set(sessions.map(({ name }) => name)).size, 3)
  }
  server.kill('SIGKILL')
  await until(() => !existsSync(`/proc/${pid}`))
})

t.test('a server of a still lower priority keeps it, and passwords are hashed', { skip: noProcesses }, async t => {
  const child = spawn('nice', ['-n', '15', process.execPath, '--import', loaderUrl(), 'src/accounts/hash-process.ts'], { detached: true, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  child.send({ id: 7, password: 'correct horse', cost: 4 })
  t.match(await Promise.race([once(child, 'message'), once(child, 'exit')]), [{ id: 7, result: /^\$2b\$04\$/ }])
  t.equal(os.getPriority(child.pid!), Math.min(os.getPriority() + 15, 19))
  child.disconnect()
  await once(child, 'exit')
})

t.test('where other processes change the priority of sessions, the process lowers that of its own as soon as it can', { skip: noSessions }, async t => {
  // Linux allows the change ten times a second, except to administrators of the system. These changes leave little room for others.
  const others = spawn('sh', ['-c', 'while :; do echo 0 > /proc/self/autogroup; done'], { detached: true, stdio: 'ignore' })
  t.teardown(() => others.kill())
  const restrict = ['setpriv', '--bounding-set=-sys_admin']
  const { status } = spawnSync(restrict[0]!, [...restrict.slice(1), 'true'])
  const [command, ...args] = [...status === 0 ? restrict : [], process.execPath, '--import', loaderUrl(), 'src/accounts/hash-process.ts']
  const child = spawn(command!, args, { detached: true, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  child.send({ id: 7, password: 'correct horse', cost: 4 })
  t.match(await Promise.race([once(child, 'message'), once(child, 'exit')]), [{ id: 7, result: /^\$2b\$04\$/ }])
  others.kill()
  await until(() => sessionOf(child.pid!).priority === 10)
  child.disconnect()
  await once(child, 'exit')
})

t.test('a server without a free file descriptor goes on, and hashes passwords again when it has one', async t => {
  const program = `
    import { closeSync, openSync } from 'node:fs'
    import { createHashing } from './src/accounts/hashing.ts'
    const { hash } = createHashing()
    const opened = []
    try { for (;;) opened.push(openSync('/dev/null')) } catch {}
    await hash('correct horse', 4).catch(({ message, cause }) => console.log(message + ': ' + cause.code))
    for (const file of opened) closeSync(file)
    console.log(await hash('correct horse', 4))`
  const child = spawn('sh', ['-c', 'ulimit -n 100; exec "$@"', 'sh', process.execPath, '--import', loaderUrl(), '--input-type=module', '--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [said] = await Promise.all([text(child.stdout), once(child, 'exit')])
  t.match(said.split('\n'), ['The process that hashes passwords has ended: EMFILE', /^\$2b\$04\$/, ''])
})

t.test('signals to all processes of the server do not end it, and the end of the server does', async t => {
  const child = fork('src/accounts/hash-process.ts', { detached: true, execArgv: ['--import', loaderUrl()] })
  const hash = async () => {
    child.send({ id: 7, password: 'correct horse', cost: 4 })
    const [{ id, result }] = await once(child, 'message')
    return [id, await bcrypt.compare('correct horse', result)]
  }
  t.same(await hash(), [7, true])
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) child.kill(signal)
  t.same(await hash(), [7, true])
  child.disconnect()
  t.same(await once(child, 'exit'), [0, null])
})

/** Why the priority of a session cannot be lowered here, or false. */
async function whyNoSessions () {
  if (!existsSync('/proc/self/autogroup')) return 'skipped: the system does not divide processor time between sessions'
  const attempts = 'for attempt in $(seq 50); do echo 0 > /proc/self/autogroup && exit; sleep 0.1; done; exit 1'
  const [code] = await once(spawn('sh', ['-c', attempts], { detached: true, stdio: 'ignore' }), 'exit')
  return code === 0 ? false : 'skipped: the system does not let the priority of a session be changed'
}
