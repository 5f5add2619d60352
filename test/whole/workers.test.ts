import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import http from 'node:http'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { io, type Socket } from 'socket.io-client'
import t, { type Test } from 'tap'
import { next } from '../support/live.ts'
import { loaderUrl } from '../support/load-faster.ts'
import { connect, freePort, isWaiting, openPlace, until, type Place, type Settings } from '../support/process.ts'

// The server as several processes that share a port: WORKERS=2.

t.jobs = 3 // for tests that are `buffered`

/** A new TCP connection for every request, so that the requests of one client reach the workers in turn. */
const agent = new http.Agent({ keepAlive: false })

/** Starts a server and waits until all of its workers listen. Returns the process ids of the workers too, that of the first one last. */
async function serve (place: Place, settings: Settings = {}) {
  const server = await place.serve({ WORKERS: '2', ...settings })
  await server.hasSaid(/Parley is running/)
  return { ...server, workers: pidsOf(server.said.stdout) }
}

const pidsOf = (text: string) => [...text.matchAll(/"pid":(\d+),[^\n]*Server listening/g)].map(([, pid]) => Number(pid))
const isOver = (pid: number) => !existsSync(`/proc/${pid}`)

async function dial (t: Test, url: string, cookie: string, transports: Array<'polling' | 'websocket'>) {
  const socket = io(url, { forceNew: true, transports, extraHeaders: { cookie }, agent: agent as never })
  t.teardown(() => socket.close())
  await next(socket, 'connect')
  return socket
}

const numberOf = ({ io: { engine } }: Socket) => Number(engine.id.split('.')[0])

t.test('workers share the port, and clients notice nothing', { buffered: true }, async t => {
  const place = await openPlace(t)
  const server = await serve(place)
  const ann = await server.join('ann')
  const { body: { id } } = await ann.post('/api/conversations', { name: 'Plans' })

  for (const transports of [['polling'], ['polling', 'websocket'], ['websocket']] satisfies Parameters<typeof dial>[3][]) {
    const sockets: Socket[] = []
    await until(async () => {
      sockets.push(await dial(t, server.url, ann.cookie, transports))
      return new Set(sockets.map(numberOf)).size === 2
    })
    for (const socket of sockets) {
      if (transports.length === 2 && socket.io.engine.transport.name !== 'websocket') await new Promise(resolve => { socket.io.engine.once('upgrade', resolve) })
      t.match(await socket.emitWithAck('join_chat', { chat_session_id: id }), { messages: [] }, `${transports.join(', then ')}: the connection works`)
    }
    const heard = sockets.map(async socket => (await next<{ text: string }>(socket, 'new_message')).text)
    const { body: [sent] } = await ann.post(`/api/conversations/${id}/messages`, { text: transports.join() }, { 'x-requested-with': 'test' })
    t.same(await Promise.all(heard), sockets.map(() => sent.text), 'what one worker stores is told by all')
    t.match(await (await fetch(`${server.url}/metrics`)).text(), `parley_sockets ${sockets.length}\n`, 'the metrics are those of all workers')
    for (const socket of sockets) socket.close()
    await until(async () => (await (await fetch(`${server.url}/metrics`)).text()).includes('parley_sockets 0\n'))
    await ann.delete(`/api/conversations/${id}/messages/${sent.id}`)
    await ann.delete(`/api/conversations/${id}/messages/${sent.id + 1}`)
  }

  const metrics = await (await fetch(`${server.url}/metrics`)).text()
  const counted = (name: string) => [...metrics.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'))].map(([, value]) => Number(value))
  t.same(counted('parley_database_up'), [1], 'what the database counts is not summed up')
  t.same(counted('parley_jobs').length, 5)
  t.same([...metrics.matchAll(/^# TYPE (\S+)/gm)].length, new Set([...metrics.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name)).size, 'each metric appears once')

  await t.test('requests of a connection that no worker has are refused, as by a server of one process', async t => {
    for (const sid of ['1.unknown', '2.unknown', '3.unknown', 'unknown']) {
      for (let n = 0; n < 4; n++) {
        const answer = await fetch(`${server.url}/socket.io/?EIO=4&transport=polling&sid=${sid}`, { headers: { connection: 'close' } })
        t.same([answer.status, await answer.json()], [400, { code: 1, message: 'Session ID unknown' }], sid)
      }
    }
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket&sid=3.unknown`)
    await once(socket, 'error')
  })

  await t.test('the metrics are not available while a worker does not answer, since the sums would be wrong', async t => {
    process.kill(server.workers[0]!, 'SIGSTOP')
    // Of two connections, one may be handed to the worker that is stopped.
    const scrapes = [1, 2].map(async () => await fetch(`${server.url}/metrics`, { headers: { connection: 'close' } }))
    t.equal((await Promise.any(scrapes)).status, 503)
    process.kill(server.workers[0]!, 'SIGCONT')
    await Promise.all(scrapes)
    t.equal((await fetch(`${server.url}/metrics`)).status, 200)
  })

  server.kill('SIGTERM')
  const { code, stdout, stderr } = await server.ended
  t.same([code, stderr], [0, ''])
  t.notMatch(stdout, /is replaced/)
  t.ok(server.workers.every(isOver))
  t.equal(await place.runningPostgres(), undefined, 'the last one has stopped Postgres')
})

t.test('a worker that dies is replaced, and jobs go on', { buffered: true }, async t => {
  const place = await openPlace(t)
  const server = await serve(place)
  const ann = await server.join('ann')
  for (const killed of server.workers) {
    process.kill(killed, 'SIGKILL')
    await server.hasSaid(new RegExp(`"worker":\\d,"pid":${killed}.*A worker ended, and is replaced`))
    await until(() => pidsOf(server.said.stdout).length === 3 + server.workers.indexOf(killed))
  }
  await ann.patch('/api/me', { email: 'ann@example.com', current_password: 'correct horse' })
  await until(() => existsSync(path.join(place.dataDir, 'mail')))
  t.equal((await ann.get('/api/me')).status, 200)
  for (const pid of pidsOf(server.said.stdout).slice(-2)) process.kill(pid, 'SIGINT')
  server.kill('SIGINT')
  const { code, stdout } = await server.ended
  t.equal(code, 0, 'a terminal sends SIGINT to all processes')
  t.notMatch(stdout, /second SIGINT/)
})

t.test('requests in progress are answered when a service manager sends SIGTERM to all processes', { buffered: true }, async t => {
  const place = await openPlace(t)
  const server = await serve(place)
  const { cookie } = await server.join('ann')
  const postgres = await connect(t, (await place.runningPostgres())!)
  await postgres.query('BEGIN; LOCK TABLE conversations IN SHARE MODE')
  const created = [1, 2, 3, 4].map(async () => (await fetch(`${server.url}/api/conversations`, { // two for each worker
    method: 'POST', headers: { 'content-type': 'application/json', connection: 'close', cookie }, body: '{}'
  })).status)
  await isWaiting(postgres, created.length)
  // The primary sends it to the workers, too.
  for (const pid of [...server.workers, ...server.workers]) {
    process.kill(pid, 'SIGTERM')
    await until(() => isOver(pid) || /^ShdPnd:\s0+$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')))
  }
  server.kill('SIGTERM')
  await postgres.query('COMMIT')
  t.same(await Promise.all(created), [201, 201, 201, 201])
  await postgres.end() // or Postgres would wait for it to disconnect
  const { code, stdout } = await server.ended
  t.equal(code, 0)
  t.notMatch(stdout, /second SIGTERM/)
})

t.test('a worker that the system cannot start is reported', { buffered: true }, async t => {
  const program = `
    import cluster from 'node:cluster'
    import { closeSync, openSync } from 'node:fs'
    import { createWorkers } from './src/workers.ts'
    const workers = createWorkers({ error: ({ err }, sentence) => console.log(sentence + ': ' + err.code) })
    cluster.setupPrimary({ exec: 'src/server.ts' })
    const opened = []
    try { for (;;) opened.push(openSync('/dev/null')) } catch {}
    console.log(await workers.start(2))
    await workers.stop()
    for (const file of opened) closeSync(file) // which the coverage of this program needs
    process.exit()`
  const child = spawn('sh', ['-c', 'ulimit -n 100; exec "$@"', 'sh', process.execPath, '--import', loaderUrl(), '--input-type=module', '--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [said] = await Promise.all([text(child.stdout), once(child, 'exit')])
  t.equal(said, 'A worker could not be started: EMFILE\nfalse\n')
})

t.test('when a worker dies, the connection that it was being given is closed, and the primary goes on', { buffered: true }, async t => {
  const place = await openPlace(t)
  const port = await freePort() // not 0, with which workers that are all new listen on another port
  const server = await serve(place, { PORT: `${port}` })
  const hasState = (pid: number, state: string) => until(() => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.startsWith(state))
  const ask = (path: string, agent: http.Agent) => new Promise<number | string>(resolve => {
    http.get(`${server.url}${path}`, { agent }, answer => answer.resume().once('end', () => resolve(answer.statusCode!))).once('error', () => resolve('closed'))
  })

  const [stuck, other] = server.workers as [number, number]
  process.kill(stuck, 'SIGSTOP')
  await hasState(stuck, 'T')
  let answered = 0
  const asked = Array.from({ length: 8 }, () => ask('/health/live', agent).finally(() => { answered++ }))
  await until(() => answered === 7)
  process.kill(stuck, 'SIGKILL')
  t.same((await Promise.all(asked)).filter(answer => answer !== 200), ['closed'])
  process.kill(other, 'SIGKILL')
  await until(() => pidsOf(server.said.stdout).length === 4)

  const agents = [1, 2, 3, 4].map(() => new http.Agent({ keepAlive: true, maxSockets: 1 }))
  for (const each of agents) await ask('/health/live', each)
  process.kill(server.pid, 'SIGSTOP')
  await hasState(server.pid, 'T')
  const scraped = ask('/metrics', agents[0]!)
  for (let n = 0; n < 10; n++) for (const each of agents.slice(1)) await ask('/health/live', each) // when both workers have answered, one has asked the primary
  for (const pid of pidsOf(server.said.stdout).slice(2)) {
    process.kill(pid, 'SIGKILL')
    await hasState(pid, 'Z')
  }
  process.kill(server.pid, 'SIGCONT')
  t.equal(await scraped, 'closed', 'the primary could not answer the worker')
  await until(() => pidsOf(server.said.stdout).length === 6)
  t.equal(await ask('/health/live', agent), 200, 'and has replaced both')
  server.kill('SIGTERM')
  t.match(await server.ended, { code: 0, stderr: '' })
})

t.test('when the primary is killed, its workers end, and the next server continues with the same data', { buffered: true }, async t => {
  const place = await openPlace(t)
  const first = await serve(place)
  const ann = await first.join('ann')
  first.kill('SIGKILL')
  await first.ended
  await until(() => first.workers.every(isOver))
  const second = await serve(place, { WORKERS: 'auto' })
  t.match(await second.post('/api/login', { username: 'ann', password: 'correct horse' }), { status: 200, body: { user: { id: ann.id } } })

  const { port } = new URL(second.url)
  const { code, stdout, stderr } = await place.run('server.ts', [], { WORKERS: '2', PORT: port }).ended
  t.equal(code, 1, 'a server that cannot start says why, once')
  t.equal(stderr, `Port ${port} is in use: stop what uses it, or choose another one: make run PORT=${Number(port) + 1}\nThe server ends, because one of its workers could not start.\n`)
  t.notMatch(stdout, /is replaced/)

  second.kill('SIGTERM')
  t.equal((await second.ended).code, 0)
})
