import { connect, type Socket } from 'node:net'

/** Sends text on a separate connection, and returns everything that is received until it is closed. `then` may send more. */
export async function exchange (port: number, sent: string, then?: (socket: Socket) => unknown): Promise<string> {
  const socket = connect(port, '127.0.0.1', () => {
    socket.write(sent)
    then?.(socket)
  })
  socket.on('error', () => { /* a reset, which may follow the answer */ })
  let answer = ''
  socket.setEncoding('utf8').on('data', text => { answer += text })
  await new Promise(resolve => { socket.once('close', resolve) }) // `once` of node:events would reject after a reset
  return answer
}
