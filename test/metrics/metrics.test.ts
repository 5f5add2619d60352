import t, { type Test } from 'tap'
import { LLMock } from '@copilotkit/aimock'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import pino from 'pino'
import type { Config } from '../../src/config.ts'
import { freshDatabase, startApp, type Headers } from '../support/helper.ts'
import { connect, listen, startLive, tokenOf, type Server } from '../support/live.ts'
import { freePort, layCable, openPlace, until, urlOf, type Place, type Settings } from '../support/process.ts'

// Metrics, limits under load (503) and traces.

t.jobs = 4 // for tests that are `buffered`

type Scraped = Pick<Server, 'anyone'>

/** The values that /metrics shows, by name and labels in the format of Prometheus. */
async function scrape ({ anyone }: Scraped): Promise<Record<string, number>> {
  const { statusCode, headers, body } = await anyone.get('/metrics')
  t.equal(statusCode, 200)
  t.match(headers['content-type'], /^text\/plain; version=0\.0\.4/)
  return Object.fromEntries(body.split('\n').filter(line => !line.startsWith('#') && line !== '').map(line => {
    const [, name, value] = /^(.*) (\S+)$/.exec(line)!
    return [name, Number(value)]
  }))
}

t.test('requests are counted by route and status, never by URL', async t => {
  const server = await startApp(t)
  const ann = await server.as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  await ann.post(`/api/conversations/${id}/messages`, { text: 'Hi' })
  await ann.get(`/api/conversations/${id + 1}/messages?limit=3`)
  await server.anyone.get('/api/conversations')
  await server.anyone.get('/nowhere/4711')
  await server.anyone.post('/chat', '{', { 'content-type': 'application/json' })

  const measured = await scrape(server)
  const count = (method: string, route: string, status: number) => measured[`parley_http_request_seconds_count{method="${method}",route="${route}",status="${status}"}`]
  t.equal(count('POST', '/api/conversations/:id/messages', 201), 1)
  t.equal(count('GET', '/api/conversations/:id/messages', 404), 1)
  t.equal(count('GET', '/api/conversations', 401), 1)
  t.equal(count('GET', 'none', 404), 1)
  t.equal(count('POST', '/chat', 400), 1)
  t.notOk(Object.keys(measured).some(name => name.includes('4711')))
  const seconds = measured['parley_http_request_seconds_sum{method="POST",route="/api/signup",status="201"}']!
  t.ok(seconds > 0.0005 && seconds < 30, `a signup took ${seconds} s`)

  t.ok(measured['parley_query_seconds_count{query="append_messages"}']! >= 1, 'named queries are measured by name')
  t.ok(measured['parley_query_seconds_count{query="unnamed"}']! >= 1, 'queries without a name are measured, too')
  t.ok(measured['parley_pool_connections']! >= 1)
  t.equal(measured['parley_pool_waiting'], 0)
  t.ok(measured['parley_pool_idle']! <= measured['parley_pool_connections']!)
  t.ok(measured['nodejs_eventloop_lag_p99_seconds']! > 0)
  t.ok(measured['process_resident_memory_bytes']! > 1e7)
})

t.test('each app has its own metrics', { buffered: true }, async t => {
  const [one, other] = [await startApp(t), await startApp(t)]
  await one.anyone.get('/api/test')
  const route = 'parley_http_request_seconds_count{method="GET",route="/api/test",status="200"}'
  t.equal((await scrape(one))[route], 1)
  t.equal((await scrape(other))[route], undefined)
})

t.test('gauges: sessions, sockets, streams, replies being generated', { buffered: true }, async t => {
  const server = await startLive(t)
  server.bots.takeOver()
  const ann = await server.as('ann')
  const conversation = await server.slowChat(ann)
  const open = async () => {
    const measured = await scrape(server)
    return ['parley_sessions{state="cookie"}', 'parley_sessions{state="guest"}', 'parley_sockets', 'parley_streams', 'parley_generations'].map(name => measured[name])
  }
  t.same(await open(), [1, 0, 0, 0, 0])

  const sockets = [await connect(t, server.url, { auth: { token: tokenOf(ann) } }), await connect(t, server.url, { auth: { token: tokenOf(ann) } })]
  const { leave } = await listen(t, `${server.url}/api/conversations/${conversation}/events`, ann.headers)
  const answered = ann.post(`/api/conversations/${conversation}/messages`, { text: 'Hi' })
  const call = await server.bots.call()
  t.same(await open(), [1, 0, 2, 1, 1], 'a request that waits for a reply does not count as an event stream')

  call.say('Hello')
  call.end()
  await answered
  leave()
  sockets[0]!.close()
  await until(async () => String(await open()) === '1,0,1,0,0')
  await ann.post('/api/logout')
  t.equal((await open())[0], 0, 'a session that has ended is not counted')
  const measured = await scrape(server)
  t.equal(measured['parley_http_request_seconds_count{method="GET",route="/api/conversations/:id/events",status="200"}'], 1)
  t.ok(measured['parley_http_request_seconds_sum{method="GET",route="/api/conversations/:id/events",status="200"}']! < 1, 'the duration of a stream is measured until its first byte')
})

t.test('replies are counted by bot and outcome, with their tokens and the time to the first token', { buffered: true }, async t => {
  const server = await startApp(t)
  const ann = await server.as('ann')
  const { id: plain } = (await ann.post('/api/conversations', { name: 'Plain' })).json()
  await ann.post(`/api/conversations/${plain}/messages`, { text: 'Hi' })
  await server.anyone.post('/chat', { user_phone: '1111', user_message: 'hello' })
  const conversation = await server.slowChat(ann)
  await ann.post(`/api/conversations/${conversation}/messages`, { text: 'Hi' })
  server.bots.takeOver()
  let asked = 0
  const ask = async () => {
    const answered = ann.post(`/api/conversations/${conversation}/messages`, { text: 'And?' })
    return { answered, call: await server.bots.call(++asked) }
  }

  const failing = await ask()
  failing.call.fail(Object.assign(new Error('too many'), { failure: 'BOT_OVERLOADED' }))
  await failing.answered
  const breaking = await ask()
  breaking.call.fail(new Error('nobody knows'))
  await breaking.answered
  const stopping = await ask()
  stopping.call.say('Well')
  await ann.post(`/api/conversations/${conversation}/stop`)
  await stopping.answered
  const endless = await ask()
  endless.call.say('x'.repeat(100_001))
  await endless.answered

  const measured = await scrape(server)
  const replies = Object.entries(measured).filter(([name]) => name.startsWith('parley_replies_total'))
  t.same(Object.fromEntries(replies), {
    'parley_replies_total{bot="simulated",outcome="complete",error=""}': 1,
    'parley_replies_total{bot="favorite-song",outcome="complete",error=""}': 1,
    'parley_replies_total{bot="slow",outcome="complete",error=""}': 1,
    'parley_replies_total{bot="slow",outcome="failed",error="BOT_OVERLOADED"}': 1,
    'parley_replies_total{bot="slow",outcome="failed",error="BOT_BROKE_OFF"}': 1,
    'parley_replies_total{bot="slow",outcome="failed",error="BOT_NONSENSE"}': 1,
    'parley_replies_total{bot="slow",outcome="stopped",error=""}': 1
  })
  t.equal(measured['parley_reply_tokens_total{bot="slow",kind="prompt"}'], 3)
  t.equal(measured['parley_reply_tokens_total{bot="slow",kind="completion"}'], 2)
  t.equal(measured['parley_reply_first_token_seconds_count{bot="slow"}'], 3, 'only replies with a first token are counted')
})

t.test('jobs are counted by state, with the age of the oldest job, and deliveries by state', { buffered: true }, async t => {
  const server = await startApp(t)
  const { query } = server
  await query('DELETE FROM graphile_worker._private_jobs')
  const job = "SELECT graphile_worker.add_job('tidy', run_at => now()"
  await query(`${job} - interval '90 seconds')`)
  await query(`${job} - interval '20 seconds')`)
  await query(`${job} + interval '1 hour')`)
  await query(`${job} - interval '1 hour', max_attempts => 1, job_key => 'failed')`)
  await query("UPDATE graphile_worker._private_jobs SET attempts = 1 WHERE key = 'failed'")
  await query(`${job} + interval '1 minute', job_key => 'retried')`)
  await query("UPDATE graphile_worker._private_jobs SET attempts = 1 WHERE key = 'retried'")
  await query(`${job} - interval '1 hour', job_key => 'held')`)
  await query("UPDATE graphile_worker._private_jobs SET locked_at = now(), locked_by = 'a worker' WHERE key = 'held'")

  const ann = await server.as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  await ann.post(`/api/conversations/${id}/messages`, { text: 'Hi' })
  const deliver = (part: number, state: string, age: string) => query(`
    INSERT INTO whatsapp_deliveries (conversation_id, message_id, part, contact, state, created_at)
    VALUES ($1, 2, $2, '491701', '${state}', now() - interval '${age}')`, [id, part])
  await deliver(0, 'queued', '3 days')
  await deliver(1, 'read', '3 days')
  await deliver(2, 'read', '1 hour')
  await deliver(3, 'failed', '2 hours')

  await query("INSERT INTO whatsapp_holds (is_by_status, since, try_at) VALUES (false, now() - interval '90 seconds', now())")
  const measured = await scrape(server)
  t.ok(measured['parley_whatsapp_held_seconds']! >= 90 && measured['parley_whatsapp_held_seconds']! < 150)
  const states = (name: string) => Object.fromEntries(Object.entries(measured).flatMap(([key, value]) => {
    const [, state] = new RegExp(`^${name}{state="(.*)"}$`).exec(key) ?? []
    return state === undefined ? [] : [[state, value]]
  }))
  t.same(states('parley_jobs'), { waiting: 2, working: 1, scheduled: 1, retrying: 1, failed: 1 })
  t.ok(measured['parley_job_oldest_seconds']! >= 90 && measured['parley_job_oldest_seconds']! < 150)
  t.same(states('parley_whatsapp_deliveries'), { queued: 1, sent: 0, delivered: 0, read: 1, failed: 1, window_closed: 0 }, 'all queued deliveries are counted, other states only for the last day')
  t.equal(measured['parley_database_up'], 1)
})

t.test('while the database is down or does not answer, the metrics of the process are still served', { buffered: true }, async t => {
  const cable = await layCable(t, await freshDatabase(t))
  await cable.open()
  const server = await startApp(t, {}, undefined, { connectionString: cable.url })
  t.match(await scrape(server), { parley_database_up: 1, parley_job_oldest_seconds: 0 })

  cable.mute()
  const began = Date.now()
  const [measured, again] = await Promise.all([scrape(server), scrape(server)])
  const seconds = (Date.now() - began) / 1000
  t.ok(seconds >= 1.9, `answered after ${seconds} s`)
  const { totalCount, idleCount } = server.db.$client
  t.ok(totalCount > idleCount, 'without waiting until the query ends')
  for (const each of [measured, again]) {
    t.equal(each['parley_database_up'], 0)
    t.ok(each['process_resident_memory_bytes'])
    for (const name of ['parley_job_oldest_seconds', 'parley_jobs{state="waiting"}', 'parley_sessions{state="cookie"}']) t.equal(each[name], undefined, `${name} is missing`)
  }

  await cable.close()
  await until(async () => (await scrape(server))['parley_database_up'] === 0)
  await cable.open()
  await until(async () => (await scrape(server))['parley_database_up'] === 1)
})

t.test('metrics are served to this machine, and to others with the token', { buffered: true }, async t => {
  const TOKEN = 'a-token-for-tests-only'
  const ask = async (changes: Partial<Config>, remoteAddress: string | undefined, headers: Headers = {}) => {
    const { app } = await serverWith(t, changes)
    const { statusCode, body } = await app.inject({ url: '/metrics', remoteAddress, headers })
    return statusCode === 200 ? statusCode : `${statusCode} ${JSON.parse(body).code}`
  }
  for (const local of ['127.0.0.1', '127.8.8.8', '::1', '::ffff:127.0.0.1']) t.equal(await ask({}, local), 200, local)
  for (const elsewhere of ['192.0.2.1', '::ffff:192.0.2.1', '2001:db8::1', '10.0.0.1']) t.equal(await ask({}, elsewhere), '404 NOT_FOUND', elsewhere)

  const forwarded: Headers[] = [
    { 'x-forwarded-for': '127.0.0.1' }, { 'x-forwarded-for': '192.0.2.1' }, { forwarded: 'for=127.0.0.1' }, { 'x-real-ip': '127.0.0.1' },
    { 'x-forwarded-proto': 'https' }, { via: '1.1 proxy' }, { 'cf-connecting-ip': '127.0.0.1' }
  ]
  for (const headers of forwarded) {
    const [name] = Object.keys(headers)
    t.equal(await ask({}, '127.0.0.1', headers), '404 NOT_FOUND', `through a proxy on this machine: ${name}`)
    t.equal(await ask({ TRUST_PROXY: 'loopback' }, '127.0.0.1', headers), '404 NOT_FOUND', `through a trusted proxy: ${name}`)
  }

  const METRICS_TOKEN = TOKEN
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
  t.equal(await ask({ METRICS_TOKEN }, '192.0.2.1', bearer(TOKEN)), 200)
  t.equal(await ask({ METRICS_TOKEN }, '127.0.0.1', { ...bearer(TOKEN), 'x-forwarded-for': '192.0.2.1' }), 200)
  t.equal(await ask({ METRICS_TOKEN }, '127.0.0.1'), 200, 'this machine needs no token')
  for (const headers of [{}, bearer(`${TOKEN}!`), bearer(TOKEN.slice(0, -1)), bearer(''), { authorization: `Basic ${TOKEN}` }]) {
    t.equal(await ask({ METRICS_TOKEN }, '192.0.2.1', headers), '401 INVALID_TOKEN', JSON.stringify(headers))
  }
  t.equal(await ask({}, '192.0.2.1', bearer(TOKEN)), '404 NOT_FOUND', 'METRICS_TOKEN is not set')
})

const servers = new Map<string, ReturnType<typeof startApp>>()

/** Starts a server with these changed settings, or returns the one that was started with them before. */
async function serverWith (t: Test, changes: Partial<Config>) {
  const key = JSON.stringify(changes)
  if (!servers.has(key)) servers.set(key, startApp(t, changes))
  return await servers.get(key)!
}

/** Blocks the event loop in turns of this many milliseconds each. Returns a function that ends this. */
function blockTheLoop (milliseconds: number) {
  let isReleased = false
  function turn () {
    const end = performance.now() + milliseconds
    while (performance.now() < end); // stands for a computation that takes too long
    if (!isReleased) setImmediate(turn)
  }
  setImmediate(turn)
  return () => { isReleased = true }
}

t.test('an overloaded server refuses requests, and accepts them again afterwards', async t => {
  const log = keepLog()
  const server = await startLive(t, { MAX_EVENT_LOOP_DELAY: 0.1 }, undefined, log.logger)
  // On a busy machine, a server with this limit may refuse requests before anything is blocked.
  const { as } = await startApp(t, {}, undefined, server.connection)
  const ann = server.clientOf((await as('ann')).headers)
  const { id } = (await until(async () => {
    const answer = await ann.post('/api/conversations', { name: 'Plans' })
    return answer.statusCode === 201 ? answer : undefined
  })).json()
  const socket = await connect(t, server.url, { auth: { token: tokenOf(ann) } })
  const emit = async () => await socket.emitWithAck('send_message', { chat_session_id: id, text: 'Hi' })
  const send = async () => await ann.post(`/api/conversations/${id}/messages`, { text: 'Hi' }, { origin: 'http://localhost:3000' })
  t.ok(await until(async () => (await send()).statusCode === 201))
  t.ok(await until(async () => (await scrape(server))['parley_busy'] === 0))

  const release = blockTheLoop(200)
  t.teardown(release)
  const refusal = await until(async () => {
    const answer = await send()
    return answer.statusCode === 503 ? answer : undefined
  })
  t.same(refusal.json(), { statusCode: 503, code: 'SERVER_BUSY', error: 'The server has too much to do right now, please try again' })
  t.match(refusal.headers, { 'retry-after': /^[1-9]\d*$/, 'access-control-allow-origin': 'http://localhost:3000' }, 'a front end of another origin can read the response, too')
  t.equal((await send()).statusCode, 503)
  t.match(await emit(), { code: 'SERVER_BUSY' })
  t.equal((await server.anyone.get('/health/live')).statusCode, 200)
  t.equal((await server.anyone.get('/health/ready')).statusCode, 200, 'the readiness check stays 200, so that a load balancer does not move all load to the other servers')
  const measured = await scrape(server)
  t.equal(measured['parley_busy'], 1)
  t.ok(measured['parley_http_request_seconds_count{method="POST",route="/api/conversations/:id/messages",status="503"}']! >= 2)
  const said = log.lines.filter(({ limit }) => limit === 'eventLoopDelay')
  t.match(said[0], { level: 40, msg: 'The server is overloaded and refuses requests' })
  t.same(said.filter(({ time }, i) => i > 0 && Number(time) - Number(said[i - 1]!.time) < 9_000), [], 'it is logged once in ten seconds, and not for each request')

  release()
  await until(async () => (await send()).statusCode === 201)
  t.match(await until(async () => {
    const answer = await emit()
    return answer.code === 'SERVER_BUSY' ? undefined : answer
  }), { messages: [{ text: 'Hi' }, {}] })
})

t.test('requests are refused above a limit of memory, too', { buffered: true }, async t => {
  for (const changes of [{ MAX_MEMORY: 1 }, { MAX_HEAP: 1 }]) {
    const { anyone } = await startApp(t, changes)
    await until(async () => (await anyone.get('/api/test')).statusCode === 503)
    t.match((await anyone.get('/api/test')).json(), { code: 'SERVER_BUSY' }, JSON.stringify(changes))
  }
})

/** A logger that keeps its lines. */
function keepLog () {
  const lines: Array<{ level: number, msg: string, [key: string]: unknown }> = []
  return { lines, logger: pino({ level: 'warn' }, { write: (line: string) => { lines.push(JSON.parse(line)) } }) }
}

// --- the dashboard ---

/** Forces a garbage collection, since its pauses are one of the metrics: a short test may end before V8 starts one. */
function collectGarbage () {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
}

/** The names of metrics in a PromQL expression, without functions, labels and variables, and the labels that it uses. */
function namesIn (expr: string) {
  const names = [...expr.matchAll(/\b(?:parley|nodejs|process)_\w+/g)].map(([name]) => name)
  const labels = [...expr.matchAll(/(\w+)=~?"/g), ...expr.matchAll(/by \(([\w, ]+)\)/g)].flatMap(([, some]) => some!.split(', '))
  return { names, labels }
}

t.test('every panel of the dashboard uses metrics that exist', { buffered: true }, async t => {
  const server = await startApp(t)
  const ann = await server.as('ann')
  const conversation = await server.slowChat(ann)
  await ann.post(`/api/conversations/${conversation}/messages`, { text: 'Hi' })
  collectGarbage()
  const measured = await until(async () => {
    const names = Object.keys(await scrape(server))
    const late = ['nodejs_gc_', 'parley_reply_tokens_total{'] // after a garbage collection, and when the reply is stored
    return late.every(prefix => names.some(name => name.startsWith(prefix))) ? names : undefined
  })
  const names = new Set(measured.map(name => name.split('{')[0]!))
  const labels = new Set([...measured.flatMap(name => [...name.matchAll(/[{,](\w+)="/g)].map(([, label]) => label)), 'job', 'instance'])

  const { panels, templating } = JSON.parse(await readFile('docs/grafana.json', 'utf8')) as {
    panels: Array<{ title: string, targets: Array<{ expr: string }> }>, templating: { list: Array<{ query: string }> }
  }
  t.ok(panels.length >= 20)
  for (const { title, targets } of panels) {
    for (const { expr } of targets) {
      const asked = namesIn(expr)
      t.ok(asked.names.length > 0 || expr.includes('up{'), title)
      t.same(asked.names.filter(name => !names.has(name)), [], `${title}: ${expr}`)
      t.same(asked.labels.filter(label => !labels.has(label)), [], `${title}: labels`)
      t.equal(expr.split('(').length, expr.split(')').length, `${title}: brackets`)
    }
  }
  const ours = [...names].filter(name => name.startsWith('parley_')).map(name => name.replace(/_(bucket|sum|count)$/, ''))
  const shown = JSON.stringify(panels)
  t.same([...new Set(ours)].filter(name => !shown.includes(name)), [], 'the dashboard shows all of our metrics')
  const docs = await readFile('docs/watch.md', 'utf8')
  t.same([...new Set(ours)].filter(name => !docs.includes(`\`${name}\``)), [], 'docs/watch.md describes all of our metrics')
  t.same(namesIn(docs).names.map(name => name.replace(/_(bucket|sum|count)$/, '')).filter(name => !ours.includes(name) && !names.has(name)), [], 'docs/watch.md describes no metric that does not exist')
  t.ok(templating.list.every(({ query }) => namesIn(query).names.every(name => names.has(name))))
})

// --- traces ---

interface Span { traceId: string, spanId: string, parentSpanId?: string, name: string, kind: number, attributes: Array<{ key: string, value: Record<string, unknown> }> }

/** A fake of OpenTelemetry's collector, which receives traces as JSON. */
async function startCollector (t: Test) {
  const spans: Array<Span & { service: unknown }> = []
  const bodies: string[] = []
  const server = http.createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks).toString()
    bodies.push(`${request.url} ${body}`)
    for (const { resource, scopeSpans } of JSON.parse(body).resourceSpans) {
      const service = resource.attributes.find(({ key }: { key: string }) => key === 'service.name').value.stringValue
      for (const { spans: some } of scopeSpans) spans.push(...some.map((span: Span) => ({ ...span, service })))
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return { spans, bodies, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

/** Makes a server print at its end which packages of OpenTelemetry it had loaded. */
const TELL_LOADED = `data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module'
  const loaded = []
  registerHooks({ resolve (specifier, context, next) {
    const found = next(specifier, context)
    loaded.push(found.url)
    return found
  } })
  process.on('exit', () => console.log('loaded ' + JSON.stringify(loaded.flatMap(url => /@opentelemetry.([\\w-]+)/.exec(url)?.[1] ?? []))))`)}`

async function loadedBy (place: Place, settings: Settings) {
  const server = await place.serve({ ...settings, NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --import=${TELL_LOADED}` })
  await server.get('/api/conversations')
  server.kill('SIGTERM')
  const { code, stdout } = await server.ended
  t.equal(code, 0)
  return [...new Set(JSON.parse(/^loaded (.*)$/m.exec(stdout)![1]!))]
}

t.test('OpenTelemetry is not loaded unless its variables are set', { buffered: true }, async t => {
  const place = await openPlace(t)
  const DATABASE_URL = urlOf(await freshDatabase(t))
  const API = ['api'] // the API package does nothing by itself, and prom-client loads it
  t.same(await loadedBy(place, { DATABASE_URL }), API)
  t.same(await loadedBy(place, { DATABASE_URL, OTEL_SERVICE_NAME: 'chat' }), API, 'a service name alone does not enable traces')
  t.same(await loadedBy(place, { DATABASE_URL, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', OTEL_TRACES_EXPORTER: 'none' }), API)
  t.same(await loadedBy(place, { DATABASE_URL, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', OTEL_SDK_DISABLED: 'true' }), API)
  const loaded = await loadedBy(place, { DATABASE_URL, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', OTEL_TRACES_EXPORTER: '' })
  t.ok(loaded.includes('sdk-node') && loaded.includes('instrumentation-pg'), 'it is loaded, also if another variable is empty, and the server ends normally although no collector answers')
  await writeFile(path.join(place.folder, '.env'), 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:9\n')
  const fromFile = await loadedBy(place, { DATABASE_URL, OTEL_EXPORTER_OTLP_ENDPOINT: '', OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: '' })
  t.ok(fromFile.includes('sdk-node'), 'an empty variable does not hide the one in .env')
})

t.test('the log says once, not for each attempt, that the collector refuses traces or does not answer', { buffered: true }, async t => {
  let refused = 0
  const collector = http.createServer((request, response) => { request.resume().once('end', () => { refused++; response.writeHead(403).end() }) })
  await once(collector.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => { collector.closeAllConnections(); collector.close() })
  const refusing = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`
  const silent = `http://127.0.0.1:${await freePort()}`
  // 750 ms: less than the exporter waits before it connects again, at least 800 ms, so that it gives up after the first time.
  for (const [endpoint, reason, timeoutMs] of [[refusing, /Forbidden/, 10_000], [silent, /ECONNREFUSED/, 750]] as const) {
    const place = await openPlace(t)
    const server = await place.serve({ DATABASE_URL: urlOf(await freshDatabase(t)), OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_BSP_SCHEDULE_DELAY: '50', OTEL_EXPORTER_OTLP_TIMEOUT: String(timeoutMs) })
    await server.get('/api/conversations')
    const [line] = await server.hasSaid(/\{.*Traces cannot be sent, and are dropped"\}/)
    t.match(JSON.parse(line), { level: 40, reason })
    if (endpoint === refusing) await until(async () => (await server.get('/api/conversations')) && refused > 2)
    server.kill('SIGTERM')
    const { code, stdout } = await server.ended
    t.equal(code, 0)
    t.equal(stdout.match(/Traces cannot be sent/g)!.length, 1)
  }
})

t.test('a trace spans request, database and provider, and contains no message text', { buffered: true }, async t => {
  const collector = await startCollector(t)
  const mock = new LLMock({ port: 0 })
  await mock.start()
  t.teardown(() => mock.stop())
  mock.onMessage('s3cret question', { content: 'A s3cret answer' })
  const place = await openPlace(t)
  await writeFile(path.join(place.folder, '.env'), 'OTEL_SERVICE_NAME=chat\n')
  const server = await place.serve({
    DATABASE_URL: urlOf(await freshDatabase(t)),
    OPENAI_API_KEY: 's3cret-key',
    OPENAI_BASE_URL: `${mock.url}/v1`,
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    OTEL_BSP_SCHEDULE_DELAY: '50'
  })
  const ann = await server.join('ann', 's3cret horse')
  const { body: { id } } = await ann.post('/api/conversations', { name: 's3cret plans' })
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
  const parent = '00f067aa0ba902b7'
  const { body } = await ann.post(`/api/conversations/${id}/messages?token=s3cret`, { text: 's3cret question' }, { traceparent: `00-${traceId}-${parent}-01` })
  t.match(body, [{ text: 's3cret question' }, { text: 'A s3cret answer' }])

  const attributesOf = ({ attributes }: Span) => Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))
  const spansInside = () => collector.spans.filter(span => span.traceId === traceId)
  const planOf = (span: Span) => attributesOf(span)['db.postgresql.plan']
  const QUERIES = ['sessions', 'setting', 'append', 'task_ahead']
  const isToProvider = ({ kind, attributes }: Span) => kind === 3 && attributes.some(({ key }) => key === 'url.full')
  // Batches are sent side by side, and may arrive in another order.
  const serverSpan = await until(() => collector.spans.find(({ parentSpanId }) => parentSpanId === parent))
  await until(() => QUERIES.every(name => spansInside().some(span => planOf(span) === name)) && spansInside().some(isToProvider))
  t.match(serverSpan, { traceId, name: 'POST /api/conversations/:id/messages', kind: 2, service: 'chat' }, 'the trace of the caller is continued')
  t.match(attributesOf(serverSpan), { 'http.route': '/api/conversations/:id/messages', 'http.response.status_code': 201 })
  t.notOk('url.query' in attributesOf(serverSpan))

  const provider = spansInside().find(isToProvider)!
  t.match(attributesOf(provider), { 'url.full': mock.url, 'http.request.method': 'POST', 'http.response.status_code': 200 })
  t.equal(mock.getLastRequest()!.headers['traceparent'], `00-${traceId}-${provider.spanId}-01`, 'the trace is passed on to the provider')

  await server.get('/health/ready')
  await server.get('/metrics').catch(() => { /* the response is not JSON */ })
  server.kill('SIGTERM')
  t.equal((await server.ended).code, 0)

  // A child span may be exported before its parent ends (such as a new connection to Postgres within a request), so the tree is complete only now.
  const trace = spansInside()
  const known = new Set([parent, ...trace.map(({ spanId }) => spanId)])
  t.same(trace.filter(({ parentSpanId }) => !known.has(parentSpanId!)), [], 'all spans are in one tree')

  t.ok(collector.bodies.every(body => body.startsWith('/v1/traces ')), 'only traces are exported')
  t.notMatch(collector.bodies.join('\n'), /s3cret/)
  t.notOk(collector.spans.some(span => /health|metrics/.test(JSON.stringify(attributesOf(span)['url.path'] ?? ''))), 'health checks and /metrics are not traced')
  const alone = collector.spans.filter(({ parentSpanId }) => !parentSpanId)
  t.ok(alone.every(({ kind }) => kind === 2), 'regular work of the server in the background creates no traces')
})
