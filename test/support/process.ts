import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, realpath, rm } from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import pg from 'pg'
import { ConfigSchema } from '../../src/config.ts'
import { loaderUrl } from './load-faster.ts'

export type Settings = Record<string, string>
export type Place = Awaited<ReturnType<typeof openPlace>>
export type Program = ReturnType<typeof launch>

/**
 * Programs are started from the sources, not from dist/. The coverage of built programs could not be added to that of the tests,
 * because the compiler moves functions and branches.
 */
const sources = fileURLToPath(new URL('../../src', import.meta.url))

/** The environment without Parley's settings, so that the developer's own settings have no effect. */
const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !(name in ConfigSchema.properties)))

/** Starts a program as a separate process. */
function launch (file: string, args: string[], cwd: string, settings: Settings) {
  const child = spawn(process.execPath, ['--import', loaderUrl(), path.join(sources, file), ...args], { cwd, env: { ...clean, ...settings } })
  const said = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', text => {
      said[stream] += text
      child.emit('said')
    })
  }
  child.stdin.on('error', () => { /* it ended without reading its input */ })
  const ended = once(child, 'close').then(([code]: Array<number | null>) => ({ code, ...said }))

  return {
    pid: child.pid!,
    said,
    ended,
    /** Writes to the program's standard input, and closes it. */
    tell: (text: string) => child.stdin.end(text),
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    /** Waits until standard output matches `pattern` this many times. Throws if the program ends before. */
    async hasSaid (pattern: RegExp, times = 1) {
      for (;;) {
        const found = [...said.stdout.matchAll(new RegExp(pattern, 'g'))]
        if (found.length >= times) return found[times - 1]!
        const isOver = await Promise.race([once(child, 'said').then(() => false), ended.then(() => true)])
        if (isOver) throw new Error(`It ended without saying ${pattern}: ${said.stdout}${said.stderr}`)
      }
    }
  }
}

/** Makes a folder in which programs run. At the end of the test the programs and the Postgres in it are stopped. */
export async function openPlace (t: Test) {
  const folder = await realpath(await mkdtemp(path.join(os.tmpdir(), 'parley-')))
  const dataDir = path.join(folder, 'data')
  const programs: Program[] = []

  t.teardown(async () => {
    for (const program of programs) program.kill('SIGKILL')
    await Promise.all(programs.map(({ ended }) => ended))
    const postgres = await runningPostgres()
    if (postgres !== undefined) process.kill(postgres.pid, 'SIGQUIT')
    await until(async () => await runningPostgres() === undefined)
    await rm(folder, { recursive: true, maxRetries: 5 })
  })

  function run (file: string, args: string[] = [], settings: Settings = {}) {
    const program = launch(file, args, folder, { HOST: '127.0.0.1', PORT: '0', DATA_DIR: dataDir, BCRYPT_COST: '10', RATE_LIMITS: 'off', MAX_EVENT_LOOP_DELAY: '0', ...settings })
    programs.push(program)
    return program
  }

  /** How to connect to the Postgres that runs on the data folder; undefined if none runs. */
  async function runningPostgres () {
    const [pid, , , port, host] = (await readFile(path.join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')
    return host ? { pid: Number(pid), host, port: Number(port), user: 'postgres', database: 'postgres' } : undefined
  }

  return {
    folder,
    dataDir,
    run,
    runningPostgres,
    /** Starts a server on a free port, and waits until it listens. */
    async serve (settings: Settings = {}) {
      const program = run('server.ts', [], settings)
      const [, url] = await program.hasSaid(/listening at (http:[^"]+)"/)
      return { ...program, url: url!, ...clientOf(url!) }
    }
  }
}

export type Client = ReturnType<typeof clientOf>
export type Answer = Awaited<ReturnType<Client['get']>>

/** A client that calls a server as a front end does, with these headers. */
export function clientOf (url: string, own: Record<string, string> = {}) {
  const send = (method: string) => async (path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const content: RequestInit = body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
    const answer = await fetch(url + path, { method, ...content, headers: { ...content.headers as object, ...own, ...headers } })
    const text = await answer.text()
    return { status: answer.status, headers: answer.headers, body: text === '' ? undefined : JSON.parse(text) }
  }
  return {
    get: send('GET'),
    post: send('POST'),
    put: send('PUT'),
    patch: send('PATCH'),
    delete: send('DELETE'),
    /** Signs up a new user, and keeps the session cookie. */
    async join (username: string, password = 'correct horse') {
      const { body } = await send('POST')('/api/signup', { username, password })
      const { headers } = await send('POST')('/api/login', { username, password })
      const [cookie] = headers.getSetCookie()[0]!.split(';')
      return { id: body.user.id as number, cookie: cookie!, ...clientOf(url, { cookie: cookie! }) }
    }
  }
}

/** Waits until the condition is true. It has no time limit. */
export async function until<T> (ask: () => Promise<T> | T): Promise<NonNullable<T>> {
  for (;;) {
    const answer = await ask()
    if (answer) return answer
    await sleep(10)
  }
}

/**
 * The ports of `freePort`. They are below those that a system gives to programs that ask for any port and to connections, so that
 * no other program gets one before the test uses it. Test files that run side by side begin at different ones.
 */
const FREE_PORTS = { first: 20_000, count: 12_000 }
let tried = process.pid * 16

/** A port of this machine on which nothing listens. */
export async function freePort (): Promise<number> {
  const port = FREE_PORTS.first + tried++ % FREE_PORTS.count
  const server = net.createServer().listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    return await freePort()
  }
  await once(server.close(), 'close')
  return port
}

export async function connect (t: Test, connection: pg.ClientConfig) {
  const client = new pg.Client(connection)
  client.on('error', () => { /* Postgres may be stopped during the test */ })
  t.teardown(() => client.end())
  await client.connect()
  return client
}

/** Waits until this number of other connections to the database wait for a lock. */
export async function isWaiting (postgres: pg.Client, others = 1) {
  await until(async () => {
    await postgres.query('SELECT pg_stat_clear_snapshot()')
    const { rows } = await postgres.query("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
    return rows.length === others
  })
}

export function urlOf ({ host, port, user, password, database }: pg.ClientConfig) {
  const url = new URL(`postgres://_/${database}`)
  url.username = user ?? ''
  url.password = String(password ?? '')
  url.search = String(new URLSearchParams({ host: host!, port: String(port) }))
  return url.href
}

/**
 * A TCP proxy in front of a database. It is closed at first, and can be opened and closed again; closing cuts all connections.
 * `passes` decides for each piece of data, in either direction, whether it is forwarded.
 */
export async function layCable (t: Test, to: pg.ClientConfig, passes: () => boolean = () => true) {
  const ends = new Set<net.Socket>()
  const server = net.createServer(near => {
    const far = net.connect(to.host!.startsWith('/') ? { path: `${to.host}/.s.PGSQL.${to.port}` } : { host: to.host!, port: to.port! })
    for (const [end, other] of [[near, far], [far, near]] as const) {
      ends.add(end)
      end.on('data', chunk => { if (passes()) other.write(chunk) })
      end.on('error', () => { /* 'close' follows */ })
      end.once('close', () => { ends.delete(end); other.destroy() })
    }
  })
  const cable = {
    port: await freePort(),
    async open () {
      await once(server.listen(cable.port, '127.0.0.1'), 'listening')
    },
    async close () {
      if (!server.listening) return
      const closed = once(server, 'close')
      server.close()
      for (const end of ends) end.destroy()
      await closed
    },
    /** Stops forwarding data on open connections, without closing them. */
    mute () {
      for (const end of ends) end.pause()
    }
  }
  t.teardown(() => cable.close())
  return { ...cable, server, url: urlOf({ ...to, host: '127.0.0.1', port: cable.port }) }
}
