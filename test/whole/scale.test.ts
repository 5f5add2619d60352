import t, { type Test } from 'tap'
import { execFileSync, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import http from 'node:http'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { io } from 'socket.io-client'
import { LARGEST_BODY_TOO_LARGE } from '../../src/errors.ts'
import { freshDatabase, run, SECRET } from '../support/helper.ts'
import { follow, next, type Live } from '../support/live.ts'
import { clientOf, freePort, openPlace, until, urlOf, type Answer, type Client, type Place } from '../support/process.ts'
import { createScreen, openStream, type StreamEvent } from '../support/reader.ts'

// Several instances behind nginx with deploy/nginx.conf, and what users notice when the instances are restarted.

const nginx = has('nginx')
const noNginx = !nginx && 'nginx is not installed (apt-get install nginx-light)'

function has (program: string) {
  try {
    return execFileSync(program, ['-v'], { stdio: 'ignore' }) !== undefined
  } catch {
    return false
  }
}

/** Starts nginx with the shipped configuration, in which only the addresses are replaced. */
async function startProxy (t: Test, place: Place, ports: number[]) {
  const port = await freePort()
  const file = (name: string) => path.join(place.folder, name)
  const shipped = readFileSync('deploy/nginx.conf', 'utf8')
  const site = shipped.replaceAll('app1:5000', `127.0.0.1:${ports[0]}`).replaceAll('app2:5000', `127.0.0.1:${ports[1]}`).replace('listen 80;', `listen 127.0.0.1:${port};`)
  const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path ${file(name)};`).join('\n')
  writeFileSync(file('site.conf'), site)
  writeFileSync(file('nginx.conf'), `daemon off; worker_processes 2; pid ${file('nginx.pid')}; error_log stderr warn;
    events { worker_connections 1024; }
    http { access_log off; ${folders} include ${file('site.conf')}; }`)
  await chmod(place.folder, 0o711) // nginx's workers run as the user nobody
  const child = spawn('nginx', ['-p', place.folder, '-e', 'stderr', '-c', file('nginx.conf')], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', text => { said += text })
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGTERM')
    await ended
  })
  const url = `http://127.0.0.1:${port}`
  await until(() => child.exitCode !== null || fetch(url).then(() => true, () => sleep(20).then(() => false)))
  if (child.exitCode !== null) throw new Error(`nginx: ${said}`)
  return { url, said: () => said }
}

/** Starts a fake language model that writes 50 words a second, as many as the message asks for. */
async function startProvider (t: Test) {
  const provider = fork('bench/provider.ts')
  t.teardown(() => provider.kill())
  const [port] = await once(provider, 'message') as [number]
  return { OPENAI_API_KEY: 'a-key', OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1` }
}

const wordsOf = (count: number) => Array.from({ length: count }, (_, n) => `word${n} `).join('')

t.test('two instances behind nginx, one of them of two processes, each restarted in turn under load', { skip: noNginx }, async t => {
  const place = await openPlace(t)
  const database = await freshDatabase(t)
  const settings = { DATABASE_URL: urlOf(database), JWT_SECRET: SECRET, TRUST_PROXY: 'loopback', ...await startProvider(t) }
  const ports = [await freePort(), await freePort()]
  const start = (n: number) => place.serve({ ...settings, PORT: String(ports[n]), WORKERS: String(n + 1) })
  const servers = await Promise.all([start(0), start(1)])
  const proxy = await startProxy(t, place, ports)
  const { url } = proxy
  const ann = await clientOf(url).join('ann')
  const headers = { cookie: ann.cookie }
  const begin = async (name: string, bots: string[] = ['simulated']) => (await ann.post('/api/conversations', { name, bots })).body.id as number

  const over = new AbortController()
  const count = { read: 0, keyed: 0, retried: 0, plain: 0, refused: 0, sockets: 0, streams: 0, resumed: 0 }

  /** Repeats `what`, with a pause of this many milliseconds, until the load ends. */
  async function repeat (pause: number, what: (n: number) => Promise<unknown>) {
    for (let n = 0; !over.signal.aborted; n++) {
      await what(n)
      await sleep(pause)
    }
  }

  const readers = [1, 2, 3].map(() => repeat(10, async () => {
    const { status } = await ann.get('/api/conversations')
    if (status !== 200) t.fail(`a read failed: ${status}`)
    count.read++
  }))

  /** The texts of all messages that were answered, by conversation. */
  const answered = new Map<number, string[]>()
  function note (id: number, { status, body }: Answer, text: string) {
    if (status !== 201 || body[0].text !== text) return t.fail(`${text} failed: ${status} ${JSON.stringify(body)}`)
    noteAnswered(id, text)
  }
  function noteAnswered (id: number, text: string) {
    answered.set(id, [...answered.get(id) ?? [], text])
  }

  const ids = { keyed: [await begin('Keyed'), await begin('Keyed')], ids: [await begin('Ids'), await begin('Ids')], plain: await begin('Plain'), group: await begin('Group'), streams: [await begin('Stream', ['assistant']), await begin('Stream', ['assistant'])] }
  const keyed = ids.keyed.map((id, nth) => repeat(10, async n => {
    note(id, await ann.post(`/api/conversations/${id}/messages`, { text: `Keyed ${n}` }, { 'idempotency-key': `keyed-${nth}-${n}` }), `Keyed ${n}`)
    count.keyed++
  }))

  /** nginx does not see `client_id` in a body, so it does not retry these requests. The client retries them itself. */
  const patient = ids.ids.map((id, nth) => repeat(10, async n => {
    const send = async () => await ann.post(`/api/conversations/${id}/messages`, { text: `Ids ${n}`, client_id: `ids-${nth}-${n}` })
    let answer = await send()
    for (; answer.status === 503; answer = await send()) {
      count.retried++
      t.match(answer.body, { code: 'UNAVAILABLE' })
      await sleep(50)
    }
    note(id, answer, `Ids ${n}`)
  }))

  const lost: string[] = []
  const plain = repeat(10, async n => {
    const answer = await ann.post(`/api/conversations/${ids.plain}/messages`, { text: `Plain ${n}` })
    count.plain++
    if (answer.status !== 503) return note(ids.plain, answer, `Plain ${n}`)
    t.match([answer.body, answer.headers.get('retry-after')], [{ statusCode: 503, code: 'UNAVAILABLE' }, /^\d+$/])
    count.refused++
    lost.push(`Plain ${n}`)
  })

  const said: string[] = []
  const listeners = [1, 2, 3, 4].map(n => {
    // Connect from different addresses. Half of the sockets begin as Socket.IO does by default: polling, then an upgrade.
    const agent = new http.Agent({ localAddress: `127.0.1.${n}` }) as unknown as string
    const socket = io(url, { forceNew: true, agent, auth: { token: ann.cookie.split('=')[1] }, reconnectionDelay: 50, reconnectionDelayMax: 500, ...n % 2 === 0 && { transports: ['websocket'] } })
    t.teardown(() => socket.close())
    const room = follow(socket)
    socket.on('connect', () => { room.join(ids.group, room.last()).catch(() => { /* disconnected again; it reconnects */ }) })
    const talks = repeat(50, async m => {
      const text = `Socket ${n} ${m}`
      for (;;) {
        if (!socket.connected) await next(socket, 'connect')
        const cut = new Promise(resolve => { socket.once('disconnect', resolve) })
        const message = { chat_session_id: ids.group, text, client_id: text }
        const answer = await Promise.race([socket.timeout(5_000).emitWithAck('send_message', message).catch(() => undefined), cut]) as { messages?: Live[] } | undefined
        if (answer?.messages !== undefined) break
        await sleep(50)
      }
      said.push(text)
      count.sockets++
    })
    return { ...room, socket, talks }
  })

  const replies: Array<{ words: number, text: string, status: string, id: number, conversation: number }> = []
  const streams = ids.streams.map((conversation, nth) => repeat(10, async n => {
    // The first reply is so long that only the end of its server can end it.
    const words = n === 0 ? 10_000 : n % 3 === 0 ? 600 : 40
    const body = { text: `Say ${words} words`, client_id: `stream-${nth}-${n}` }
    const screen = createScreen(t)
    const reply = () => [...screen.shown.values()].findLast(({ username }) => username === 'assistant')
    const isOver = () => ['complete', 'interrupted'].includes(String(reply()?.status))
    const send = async () => await openStream(t, `${url}/api/conversations/${conversation}/messages`, { headers }, { body, screen })
    const goOn = async (lastEventId: number) => await openStream(t, `${url}/api/conversations/${conversation}/events`, { headers }, { lastEventId, screen })
    let stream = await send()
    while (!isOver()) {
      await Promise.race([stream.ended, screen.until(isOver)])
      if (isOver()) break
      await sleep(50)
      // A stream without an event id was refused before it began, so the message is sent again.
      if (stream.lastId === undefined) {
        count.retried++
        t.equal(stream.answer.statusCode, 503)
      }
      stream = await (stream.lastId === undefined ? send() : goOn(stream.lastId)).catch(() => stream)
    }
    stream.leave()
    const { text, status, id } = reply()!
    replies.push({ words, text, status, id, conversation })
    noteAnswered(conversation, body.text)
    count.streams++
  }))

  // Followers of the group's event stream. When their stream ends, they reconnect with Last-Event-ID.
  const followers = [1, 2, 3].map(() => ({ heard: [] as StreamEvent[], lastEventId: 0 }))
  const readGroup = async ({ lastEventId }: { lastEventId: number }) => await openStream(t, `${url}/api/conversations/${ids.group}/events`, { headers }, { lastEventId })
  const isOver = once(over.signal, 'abort')
  const following = followers.map(follower => repeat(50, async n => {
    if (n > 0) count.resumed++
    const stream = await readGroup(follower)
    await Promise.race([stream.ended, isOver])
    stream.leave()
    follower.heard.push(...stream.events)
    follower.lastEventId = stream.lastId ?? follower.lastEventId
  }))

  for (const [n, server] of servers.entries()) {
    await sleep(2_000)
    server.kill('SIGTERM')
    t.equal((await server.ended).code, 0)
    await sleep(500)
    servers[n] = await start(n)
  }
  await sleep(2_000)
  over.abort()
  await Promise.all([...readers, ...keyed, ...patient, plain, ...streams, ...following, ...listeners.map(({ talks }) => talks)])
  t.comment(JSON.stringify(count))
  for (const [what, many] of Object.entries({ ...count, retried: 1, refused: 1 })) t.ok(many > 0, what)

  await t.test('every message is stored once', async t => {
    const rows = await run(database, "SELECT conversation_id AS conversation, array_agg(text ORDER BY id) FILTER (WHERE sender = 'user') AS texts, count(*)::int AS messages FROM messages GROUP BY 1")
    const stored = new Map(rows.map(({ conversation, texts, messages }) => [Number(conversation), { texts: texts as string[], messages: messages as number }]))
    for (const id of [...ids.keyed, ...ids.ids, ...ids.streams]) t.same(stored.get(id), { texts: answered.get(id), messages: 2 * answered.get(id)!.length })
    const { texts } = stored.get(ids.plain)!
    t.equal(new Set(texts).size, texts.length)
    t.same(texts.filter(text => !lost.includes(text)), answered.get(ids.plain), 'every answered message is stored once; messages without an answer are stored once or not at all')
    t.same(stored.get(ids.group)!.texts.toSorted(), said.toSorted())
  })

  await t.test('sockets and event streams got every message once, in order', async t => {
    const log = await run(database, 'SELECT id::int, text FROM messages WHERE conversation_id = $1 ORDER BY id', [ids.group])
    for (const [n, { heard, socket }] of listeners.entries()) {
      const others = log.filter(({ text }) => !text.startsWith(`Socket ${n + 1} `))
      await until(() => heard.at(-1)?.id === log.at(-1)!.id)
      t.same(heard.filter(({ text }) => !text.startsWith(`Socket ${n + 1} `)).map(({ id, text }) => ({ id, text })), others)
      socket.close()
    }
    for (const follower of followers) {
      const stream = await readGroup(follower)
      await until(() => (stream.lastId ?? 0) >= log.at(-1)!.id)
      t.same([...follower.heard, ...stream.events].map(({ data: { id, text } }) => ({ id, text })), log)
      stream.leave()
    }
  })

  await t.test('every reply is complete or interrupted, and readers saw what is stored', async t => {
    t.equal(new Set(replies.map(({ conversation, id }) => `${conversation}/${id}`)).size, replies.length, 'no reply was counted twice')
    for (const { words, text, status, id, conversation } of replies) {
      const [row] = await run(database, 'SELECT text, status FROM messages WHERE conversation_id = $1 AND id = $2', [conversation, id])
      t.same(row, { text, status })
      t.ok(status === 'complete' ? text === wordsOf(words) : wordsOf(words).startsWith(text), `${status}: ${text.length} of ${wordsOf(words).length}`)
    }
    t.same(new Set(replies.map(({ status }) => status)), new Set(['interrupted', 'complete']))
  })

  await t.test('a body that nginx itself refuses is answered in the same format as by the API', async t => {
    const { status, headers, body } = await (ann as Client).post('/api/conversations/1/messages', { text: 'x'.repeat(5 * 1024 * 1024) })
    t.match([status, headers.get('content-type'), body], [413, 'application/json', { statusCode: 413, code: 'BODY_TOO_LARGE', error: new LARGEST_BODY_TOO_LARGE().message }])
  })

  await t.test('with both instances down, nginx answers with an error in the same format as the API', async t => {
    for (const server of servers) server.kill('SIGTERM')
    await Promise.all(servers.map(({ ended }) => ended))
    const { status, headers, body } = await (ann as Client).get('/api/me')
    t.match([status, headers.get('retry-after'), body], [503, '5', { statusCode: 503, code: 'UNAVAILABLE', error: 'The service is not available right now, please try again' }])
  })
})
