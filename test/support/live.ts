import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import type pg from 'pg'
import { io, type ManagerOptions, type Socket, type SocketOptions } from 'socket.io-client'
import type { Config } from '../../src/config.ts'
import { startApp, type Client, type Headers } from './helper.ts'

/** A message in the format of socket events. */
export interface Live {
  id: number,
  rev: number,
  sender: 'user' | 'bot',
  username: string | null,
  text: string,
  status: string,
  created_at: string
  chat_session_id: number,
  isLocal: boolean
}
export type Told = Omit<Live, 'chat_session_id' | 'isLocal'>
export interface Refusal { code: string, error: string }
export type Options = Partial<ManagerOptions & SocketOptions>
type Query = [{ name?: string }, ...unknown[]]
export type Server = Awaited<ReturnType<typeof startLive>>

/** The token in a user's cookie, or in a guest's Authorization header. */
export const tokenOf = ({ headers }: Pick<Client, 'headers'>) => headers['cookie']?.split('=')[1] ?? headers['authorization']!.replace('Bearer ', '')

/** Starts an app that listens on a port, which sockets and event streams need. */
export async function startLive (t: Test, changes: Partial<Config> = {}, database?: pg.PoolConfig, logger?: Parameters<typeof startApp>[2]) {
  const server = await startApp(t, changes, logger, database)
  await server.app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = server.app.server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  const query = server.db.$client.query.bind(server.db.$client) as (...args: Query) => Promise<unknown>
  // Without this, closing the server would wait for keep-alive connections of clients.
  t.teardown(() => { server.app.server.keepAliveTimeout = 1 })
  return {
    ...server,
    port,
    url,
    /** Records the names of the queries that this instance sends from now on. */
    watchQueries () {
      const names: string[] = []
      server.db.$client.query = (async (...args: Query) => {
        names.push(args[0].name ?? '')
        return await query(...args)
      }) as never
      return names
    },
    /** Holds back the result of the `nth` query with this name until `release` is called; with an error, the query fails. */
    hold (name: string, nth = 1) {
      let release = (_error?: Error) => {}
      const released = new Promise<void>((resolve, reject) => { release = error => error === undefined ? resolve() : reject(error) })
      const asked = new Promise<void>(resolve => {
        server.db.$client.query = (async (...args: Query) => {
          const answer = await query(...args)
          if (args[0].name !== name || --nth !== 0) return answer
          resolve()
          await released
          return answer
        }) as never
      })
      return { asked, release }
    },
    connections: async () => await new Promise<number>((resolve, reject) => {
      server.app.server.getConnections((error, count) => error ? reject(error) : resolve(count))
    })
  }
}

export function dial (t: Test, url: string, options: Options = {}) {
  const socket = io(url, { forceNew: true, reconnection: false, transports: ['websocket'], ...options })
  t.teardown(() => socket.close())
  return socket
}

export async function next<T = unknown> (socket: Socket, event: string): Promise<T> {
  return await new Promise(resolve => { socket.once(event, resolve) })
}

/** Opens a socket and waits until it is connected. */
export async function connect (t: Test, url: string, options: Options = {}) {
  const socket = dial(t, url, options)
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('connect_error', reject)
  })
  return socket
}

/** The error with which the server refuses a connection; `data` has the reason if the server gives one. */
export async function refused (t: Test, url: string, options: Options = {}) {
  const socket = dial(t, url, options)
  return await new Promise<Error & { data?: Refusal }>((resolve, reject) => {
    socket.once('connect', () => reject(new Error('It is let in')))
    socket.once('connect_error', resolve)
  })
}

/** Collects all messages that a socket gets from a conversation, in order: by acknowledgements, pages and events. */
export function follow (socket: Socket) {
  const heard: Live[] = []
  socket.on('new_message', (message: Live) => heard.push(message))
  return {
    heard,
    last: () => heard.at(-1)?.rev ?? 0,
    /** Joins the conversation and reads all pages of changes after `after`. Returns the number of pages. From the last page on, the socket gets live events. */
    join: async (id: number, after = heard.at(-1)?.rev ?? 0) => await new Promise<number>((resolve, reject) => {
      let pages = 0
      function read (after: number) {
        socket.emit('join_chat', { chat_session_id: id, after }, (answer: Refusal | { messages: Live[], more: boolean }) => {
          if ('code' in answer) return reject(new Error(answer.code))
          heard.push(...answer.messages)
          pages++
          if (answer.more) read(answer.messages.at(-1)!.rev)
          else resolve(pages)
        })
      }
      read(after)
    })
  }
}

/** Opens a conversation's event stream on a separate connection, and collects its events. */
export async function listen (t: Test, url: string, headers: Headers) {
  const request = http.get(url, { headers, agent: false })
  t.teardown(() => request.destroy())
  const [answer] = await once(request, 'response') as [http.IncomingMessage]
  const events: Array<{ id: number, event: string, data: Told }> = []
  const raw: string[] = []
  const ended = read().catch(() => { /* closed, by us or by the server */ })

  async function read () {
    let text = ''
    for await (const chunk of answer.setEncoding('utf8')) {
      raw.push(chunk)
      const blocks = (text + chunk).split('\n\n')
      text = blocks.pop()!
      for (const block of blocks) {
        const fields = Object.fromEntries(block.split('\n').map(line => [line.split(': ', 1)[0], line.slice(line.indexOf(': ') + 2)]))
        if (fields['data'] !== undefined) events.push({ id: Number(fields['id']), event: fields['event']!, data: JSON.parse(fields['data']) })
      }
    }
  }
  return { status: answer.statusCode, headers: answer.headers, events, raw, ended, leave: () => request.destroy() }
}

/** Cuts the LISTEN connections of all instances. They reconnect half a second later. */
export const CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'parley-listener'"
