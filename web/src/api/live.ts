import { io, type Socket } from 'socket.io-client'
import type { ClientToServer, ServerToClient, SocketError } from '../../../src/channels/socketio/events.ts'
import { API_URL, refusal } from './client.ts'

/** The server's types, with strings in place of dates, as they arrive in JSON. */
type Wire<T> = T extends Date ? string
  : T extends (...args: infer Args) => infer Answer ? (...args: { [At in keyof Args]: Wire<Args[At]> }) => Answer
    : T extends object ? { [Name in keyof T]: Wire<T[Name]> } : T

export type LiveSocket = Socket<Wire<ServerToClient>, Wire<ClientToServer>>
export type NewsItem = Parameters<Wire<ServerToClient>['news']>[0]
export type Delta = Parameters<Wire<ServerToClient>['message_delta']>[0]

/** How long to wait before reconnecting when the server has refused or closed the socket, in milliseconds. */
const RECONNECT_DELAY_MS = 1_000

/** Opens the socket for live updates. It reconnects by itself, until the session has ended: then it calls `onSessionEnd`. */
export function openSocket (onSessionEnd: () => void): LiveSocket {
  const socket: LiveSocket = io(API_URL, { withCredentials: true, transports: ['websocket', 'polling'], tryAllTransports: true, reconnectionDelayMax: 3_000 })
  let again: ReturnType<typeof setTimeout> | undefined
  const reconnect = () => {
    clearTimeout(again)
    again = setTimeout(() => socket.connect(), RECONNECT_DELAY_MS)
  }
  // Socket.IO does not reconnect by itself when the server closes or refuses a connection.
  socket.on('disconnect', reason => { if (reason === 'io server disconnect') reconnect() })
  socket.on('connect_error', error => {
    if ((error as { data?: SocketError }).data?.code === 'INVALID_TOKEN') onSessionEnd()
    else if (!socket.active) reconnect()
  })
  socket.on('error', () => { /* the acknowledgement has the same error */ })
  return Object.assign(socket, {
    close () {
      clearTimeout(again)
      return socket.disconnect()
    }
  })
}

/** Returns the content of an acknowledgement. @throws Refusal */
export function acknowledged<T extends object> (answer: T | SocketError): T {
  if ('code' in answer) throw refusal(answer)
  return answer
}
