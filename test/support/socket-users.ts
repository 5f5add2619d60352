import type { Test } from 'tap'
import type { Socket } from 'socket.io-client'
import type { Client } from './helper.ts'
import { connect, follow, startLive, tokenOf, type Live, type Options, type Server } from './live.ts'
import { until } from './process.ts'

// Users with sockets, the events that they get, and the events that they should have got.

export const path = (id: number) => `/api/conversations/${id}/messages`
export const auth = (client: Pick<Client, 'headers'>) => ({ auth: { token: tokenOf(client) } })
export const list = (...options: Options[]) => options
export const texts = (messages: Array<{ text: string }>) => messages.map(({ text }) => text)

/** Two instances on one database. */
export async function startTwo (t: Test): Promise<[Server, Server]> {
  const one = await startLive(t)
  return [one, await startLive(t, {}, one.connection)]
}

/** Opens a user's socket at an instance, and collects what it receives. */
export async function enter (t: Test, server: Server, client: Pick<Client, 'headers'>, options: object = {}) {
  const socket = await connect(t, server.url, { ...auth(client), ...options })
  return { socket, ...follow(socket) }
}

/** Creates a conversation of these users. */
export async function begin (socket: Socket, users: string[] = [], bots = ['simulated']): Promise<number> {
  return (await socket.emitWithAck('start_chat', { users, bots })).chat_session_id
}

/** The messages in the log, in the order of their last changes. */
export async function logOf ({ query }: Server, id: number): Promise<Array<Pick<Live, 'id' | 'rev' | 'text' | 'status'>>> {
  return await query('SELECT id::int, rev::int, text, status FROM messages WHERE conversation_id = $1 ORDER BY rev', [id])
}

/** Checks that a socket got each change once, in order, and has the same messages as the log. */
export async function hasAll (t: Test, server: Server, id: number, heard: Array<Pick<Live, 'id' | 'rev' | 'text' | 'status'>>, who: string) {
  const log = await logOf(server, id)
  await until(() => (heard.at(-1)?.rev ?? 0) >= (log.at(-1)?.rev ?? 0))
  t.ok(heard.every(({ rev }, n) => n === 0 || rev > heard[n - 1]!.rev), `${who}: changes are in order, none twice`)
  const known = new Map(heard.map(({ id, rev, text, status }) => [id, { id, rev, text, status }]))
  t.same([...known.values()].sort((a, b) => a.rev - b.rev), log, `${who}: no change is missing`)
}
