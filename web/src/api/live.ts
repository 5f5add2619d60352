import { io, type Socket } from 'socket.io-client'
import type { ClientToServer, Refusal as SocketRefusal, ServerToClient } from '../../../src/channels/socketio/events.js'
import { API_URL, refusal } from './client.js'

/** What the server calls a Date is a text when it has come over the wire. */
type Wire<T> = T extends Date ? string
  : T extends (...args: infer Args) => infer Answer ? (...args: { [At in keyof Args]: Wire<Args[At]> }) => Answer
    : T extends object ? { [Name in keyof T]: Wire<T[Name]> } : T

export type LiveSocket = Socket<Wire<ServerToClient>, Wire<ClientToServer>>
export type Delta = Parameters<Wire<ServerToClient>['message_delta']>[0]

/** How long until a socket that the server refused or closed tries again, in milliseconds. */
const PAUSE = 1_000

/**
 * The one connection over which everything live comes. It comes back by itself; `ended` is called when the session is
 * over, and it will not.
 */
export function openSocket (ended: () => void): LiveSocket {
  const socket: LiveSocket = io(API_URL, { withCredentials: true, transports: ['websocket', 'polling'], tryAllTransports: true, reconnectionDelayMax: 3_000 })
  let again: ReturnType<typeof setTimeout> | undefined
  const comeBack = () => {
    clearTimeout(again)
    again = setTimeout(() => socket.connect(), PAUSE)
  }
  // Where the server closes or refuses a connection, the library does not try again: whether to is ours to say.
  socket.on('disconnect', reason => { if (reason === 'io server disconnect') comeBack() })
  socket.on('connect_error', error => {
    if ((error as { data?: SocketRefusal }).data?.code === 'INVALID_TOKEN') ended()
    else if (!socket.active) comeBack()
  })
  socket.on('error', () => { /* the acknowledgement says the same to whoever asked */ })
  return Object.assign(socket, {
    close () {
      clearTimeout(again)
      return socket.disconnect()
    }
  })
}

/** What an acknowledgement says. @throws a Refusal */
export function acknowledged<T extends object> (answer: T | SocketRefusal): T {
  if ('code' in answer) throw refusal(answer)
  return answer
}
