import type { LiveSocket } from './events.ts'

/** A client with a larger backlog is too slow and is disconnected. It reconnects and catches up. */
const MAX_BACKLOG_BYTES = 1024 * 1024

/** Catching up pauses until the client's backlog is below this. */
export const RESUME_BELOW_BYTES = 256 * 1024

/** How many bytes wait for a client, here and in its connection. */
export function backlogOf ({ conn }: LiveSocket) {
  const packets = conn['writeBuffer'] as Array<{ data?: string }>
  return packets.reduce((sum, { data = '' }) => sum + Buffer.byteLength(data), connectionOf(conn)?.bufferedAmount ?? 0)
}

/**
 * Disconnects a client that does not read, without waiting for a closing handshake. Call it before each event that is sent: one event
 * may be larger than the limit, and would never arrive if it counted itself.
 */
export function cutIfTooSlow (socket: LiveSocket) {
  if (!socket.connected || backlogOf(socket) <= MAX_BACKLOG_BYTES) return
  const connection = connectionOf(socket.conn)
  socket.disconnect(true)
  socket.conn.close(true)
  connection?.terminate()
}

/** The WebSocket; undefined when the client polls. */
export function connectionOf ({ transport }: Pick<LiveSocket['conn'], 'transport'>) {
  return (transport as { socket?: { bufferedAmount: number, terminate: () => void } }).socket
}
