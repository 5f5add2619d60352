import { connect } from 'node:net'
import type { Draw } from './draw.ts'
import { HEADER_VALUES, METHODS, SEGMENTS } from './hostile.ts'
import { CODES, parsed, type Fault } from './judge.ts'

/** Raw bytes for a separate connection: malformed HTTP that no HTTP client would send. */
export interface RawRequest { bytes: Buffer }

/** How long to wait for the server, in milliseconds. An incomplete request gets no answer; its connection is closed after this time. */
const QUIET_MS = 25

const PATHS = ['/api/test', '/api/me', '/chat', '/api/login', '/socket.io/?EIO=4&transport=polling', '/socket.io/?EIO=4&transport=websocket&sid=none', '/socket.io/?EIO=3', '/docs', '/openapi.json', '/']
const BODY = '{"user_phone":"12345","user_message":"hello"}'

const HEADERS: readonly string[] = [
  'Content-Type: application/json', `Content-Length: ${BODY.length}`, 'Content-Length: 5\r\nContent-Length: 6', 'Content-Length: -1', 'Content-Length: 99999999999999999999',
  'Content-Length: 0x10', 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked, chunked', 'Transfer-Encoding: gzip', `Transfer-Encoding: chunked\r\nContent-Length: ${BODY.length}`,
  'Transfer-Encoding : chunked', 'Expect: 100-continue', 'Expect: nothing', 'Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk', 'Upgrade: websocket\r\nConnection: Upgrade',
  'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==', 'Connection: close', 'Connection: keep-alive, close, x',
  'Host: a\r\nHost: b', 'Host:', 'Host: [', ' folded: x', 'no colon', ': no name', 'a\0b: x', 'x: a\0b', 'x: a\rb', `x: ${'y'.repeat(20_000)}`, 'Range: bytes=0-', 'Cookie: session=\u00ff'
]

const LINES: ReadonlyArray<(method: string, path: string) => string> = [
  (method, path) => `${method} ${path} HTTP/1.1`, (method, path) => `${method} ${path} HTTP/1.0`, (method, path) => `${method} ${path} HTTP/2.0`, (method, path) => `${method} ${path}`,
  (method, path) => `${method}  ${path} HTTP/1.1`, (method, path) => `${method.toLowerCase()} ${path} HTTP/1.1`, (method, path) => `${method} http://elsewhere.example${path} HTTP/1.1`,
  method => `${method} * HTTP/1.1`, method => `${method} elsewhere.example:443 HTTP/1.1`, (_method, path) => `CONNECT ${path} HTTP/1.1`, (_method, path) => `x${'y'.repeat(300)} ${path} HTTP/1.1`,
  (_method, path) => `\x16\x03\x01\x02\0\x01${path}`, () => 'PRI * HTTP/2.0', (method, path) => `\r\n\r\n${method} ${path} HTTP/1.1`
]

export function drawRawRequest (draw: Draw): RawRequest {
  const path = draw.chance(30) ? `/api/conversations/${draw.pick(SEGMENTS)}` : draw.pick(PATHS)
  const line = (draw.chance(40) ? draw.pick(LINES) : LINES[0]!)(draw.pick(METHODS.toReversed()), path)
  const headers = ['Host: localhost', ...Array.from({ length: draw.below(4) }, () => draw.pick(HEADERS))]
  if (draw.chance(20)) headers.push(`X-Odd: ${draw.pick(HEADER_VALUES)}`)
  const body = draw.pick(['', BODY, `${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`, '-1\r\nx\r\n', 'zz\r\n', '5;x=y\r\nhello\r\n0\r\nTrailer: x\r\n\r\n', 'GET /api/test HTTP/1.1\r\nHost: localhost\r\n\r\n', '\0\0\0'])
  const end = draw.chance(90) ? '\r\n\r\n' : draw.pick(['', '\r\n', '\n\n'])
  return { bytes: Buffer.from(`${line}\r\n${headers.join('\r\n')}${end}${body}`, 'latin1') }
}

/** Everything that was received until the server closed the connection or sent nothing for that time. */
export async function sendRaw (port: number, { bytes }: RawRequest): Promise<Buffer> {
  return await new Promise(resolve => {
    const chunks: Buffer[] = []
    const socket = connect(port, '127.0.0.1', () => { socket.write(bytes) })
    socket.setTimeout(QUIET_MS, () => socket.destroy())
    socket.on('data', chunk => { chunks.push(chunk) })
    socket.on('error', () => { /* 'close' follows */ })
    socket.on('close', () => { resolve(Buffer.concat(chunks)) })
  })
}

/** The statuses of all answers. No answer at all is correct for bytes that are not HTTP. */
export function statusesIn (answer: Buffer) {
  return [...answer.toString('latin1').matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
}

/** Errors have the usual format, except on Socket.IO's path and for WebSocket upgrades. */
export function judgeRaw ({ bytes }: RawRequest, answer: Buffer): Fault | undefined {
  const text = answer.toString('latin1')
  const sent = bytes.toString('latin1')
  const detail = text.slice(0, 500)
  if (text !== '' && !text.startsWith('HTTP/1.1 ')) return { kind: 'an answer that is not HTTP', detail }
  const [status] = statusesIn(answer)
  const broken = statusesIn(answer).find(status => status >= 500)
  if (broken !== undefined) return { kind: `status ${broken}`, detail }
  if (status === undefined || status < 400 || sent.includes('/socket.io/') || /upgrade: websocket/i.test(sent) || /^\s*HEAD /.test(sent)) return undefined
  const [, body = ''] = /\r\n\r\n(\{.*?\})(HTTP\/1\.1 |$)/s.exec(text) ?? []
  const { statusCode, code } = (parsed(Buffer.from(body, 'latin1')) ?? {}) as { statusCode?: unknown, code?: unknown }
  return statusCode === status && CODES.has(String(code)) ? undefined : { kind: `an error in another format, ${status}`, detail }
}
