import { io, type Socket } from 'socket.io-client'
import * as events from '../../../src/channels/socketio/events.ts'
import type { Caller } from './callers.ts'
import type { Draw } from './draw.ts'
import { hostileValue } from './hostile.ts'
import type { Kind } from './http-request.ts'
import { CODES, type Fault } from './judge.ts'
import { mutate } from './mutate.ts'
import { within } from './send.ts'
import { valueOf, type Hints, type Schema } from './values.ts'
import type { World } from './world.ts'

export interface SocketRequest { kind: Kind, event: string, args: unknown[], wantsAnswer: boolean }

/** The result of an event: the acknowledgement, or that the connection ended. */
export interface SocketAnswer { isRefused: boolean, isCut: boolean, acknowledgement: unknown, refusals: unknown[] }

/** Every event that a client may send, with the schema of its argument: `StartChat` describes `start_chat`. */
export const EVENTS = Object.entries(events).filter(([, value]) => typeof value === 'object')
  .map(([name, schema]) => ({ event: name.replace(/(?!^)[A-Z]/g, letter => `_${letter}`).toLowerCase(), schema: schema as Schema }))

/** Error codes that only sockets use. */
const SOCKET_CODES = new Set([...CODES, 'CHAT_SESSION_NOT_FOUND', 'INVALID_MESSAGE'])

const ANSWER_MS = 30_000
/** How long to wait, in milliseconds, if the client asked for no acknowledgement, or if the connection is refused. */
const QUIET_MS = 20

export function drawSocketRequest (draw: Draw, { learned, callers }: World, { event, schema }: typeof EVENTS[number], caller: Caller): SocketRequest {
  const hints: Hints = field => {
    switch (field) {
      case 'chat_session_id': return learned.idsOf('/api/conversations', caller.name).map(([id]) => Number(id)).toReversed()
      case 'bots': return learned.valuesOf('bots', 'name')
      case 'users': return callers.names()
      case 'token': return [caller.token]
      case 'text': return ['hello', 'Hi', '@slow hi']
      default: return []
    }
  }
  const kind = draw.pick<Kind>(['valid', 'valid', 'valid', 'near-valid', 'near-valid', 'hostile'])
  const payload = valueOf(draw, schema, hints)
  const wantsAnswer = !draw.chance(10)
  if (kind === 'valid') return { kind, event, args: [payload], wantsAnswer }
  if (kind === 'near-valid') return { kind, event, args: [mutate(draw, payload)], wantsAnswer }
  return {
    kind,
    event: draw.pick([event, event, `${event}s`, 'new_message', 'message_delta', 'join', 'constructor', '__proto__', 'a'.repeat(1000), '']),
    args: draw.pick<() => unknown[]>([() => [], () => [payload, payload], () => [hostileValue(draw)], () => [Buffer.from([1, 2, 255])], () => [{ data: Buffer.alloc(10) }, payload]])(),
    wantsAnswer
  }
}

/** Sends events over the caller's socket, which is reopened if the server closed it. */
export function createSockets (world: World) {
  const open = new Map<string, Socket>()
  const refusals = new WeakMap<Socket, unknown[]>()

  return {
    async send ({ event, args, wantsAnswer }: SocketRequest, caller: Caller): Promise<SocketAnswer> {
      const socket = await connected(caller)
      if (socket === undefined) return { isRefused: true, isCut: false, acknowledgement: undefined, refusals: [] }
      const heard = refusals.get(socket)!
      heard.length = 0
      const isKnown = EVENTS.some(known => known.event === event)
      const acknowledgement = await within(ANSWER_MS, async () => await new Promise<unknown>(resolve => {
        socket.once('disconnect', () => resolve(undefined))
        if (isKnown && wantsAnswer) return socket.emit(event, ...args, resolve)
        socket.emit(event, ...args)
        setTimeout(resolve, QUIET_MS)
      }))
      socket.off('disconnect')
      return { isRefused: false, isCut: !socket.connected, acknowledgement, refusals: [...heard] }
    },
    close () { for (const socket of open.values()) socket.close() }
  }

  async function connected (caller: Caller): Promise<Socket | undefined> {
    const known = open.get(caller.name)
    if (known?.connected) return known
    known?.close()
    const socket = io(world.server.url, { forceNew: true, reconnection: false, transports: ['websocket'], auth: { token: caller.token, stream: true }, extraHeaders: caller.headers ?? {} })
    const heard: unknown[] = []
    refusals.set(socket, heard)
    socket.on('error', refusal => { heard.push(refusal) })
    const isIn = await within(ANSWER_MS, async () => await new Promise<boolean>(resolve => {
      socket.once('connect', () => resolve(true))
      socket.once('connect_error', () => resolve(false))
    }))
    if (isIn) open.set(caller.name, socket)
    else socket.close()
    return isIn ? socket : undefined
  }
}

/** An error has a sentence and a code, which is never the one for internal errors. */
export function judgeSocket ({ acknowledgement, refusals }: SocketAnswer): Fault | undefined {
  for (const said of [acknowledgement, ...refusals]) {
    if (said === undefined) continue
    const { code, error } = (said ?? {}) as { code?: unknown, error?: unknown }
    const detail = String(JSON.stringify(said)).slice(0, 500)
    if (typeof said !== 'object' || said === null) return { kind: 'an acknowledgement that is not an object', detail }
    if (code === undefined && error === undefined) continue
    if (code === 'INTERNAL' || code === 'UNAVAILABLE') return { kind: `code ${code}`, detail }
    if (!SOCKET_CODES.has(String(code)) || typeof error !== 'string') return { kind: `unknown error code ${String(code)}`, detail }
  }
}

export function isSuccess ({ isRefused, isCut, acknowledgement }: SocketAnswer) {
  return !isRefused && !isCut && typeof acknowledgement === 'object' && acknowledgement !== null && !('code' in acknowledgement)
}
