import { once } from 'node:events'
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import type { InjectOptions } from 'fastify'
import type { Headers } from '../helper.ts'
import type { Caller } from './callers.ts'
import type { HttpRequest } from './http-request.ts'
import type { World } from './world.ts'

export interface HttpAnswer {
  status: number
  headers: Record<string, string | number | string[] | undefined>
  body: Buffer
  /** Whether the whole body was received. An event stream is closed after a while. */
  isComplete: boolean
}

/** How long an event stream is read, in milliseconds. A stream that answers a POST ends by itself, usually earlier. */
const STREAM_MS = { GET: 20, POST: 200 }

/** A slower answer is a fault, in milliseconds. It is much longer than one request takes on a busy machine. */
const ANSWER_MS = 30_000

/** Sends a request and reads its answer. @throws if there is no answer within `ANSWER_MS` */
export async function sendHttp (world: World, request: HttpRequest, caller: Caller): Promise<HttpAnswer> {
  return await within(ANSWER_MS, async () => mayStream(request) ? await overNetwork(world, request, caller) : await injected(world, request, caller))
}

/** Whether a request is sent over a real connection, because its answer may be an event stream. */
export function mayStream ({ url, headers }: HttpRequest) {
  return url.includes('/events') || Object.values(headers).some(value => value.includes('event-stream'))
}

async function injected ({ server }: World, request: HttpRequest, caller: Caller): Promise<HttpAnswer> {
  const { method, url, body } = request
  // The type of light-my-request lists fewer methods than it accepts.
  const options = { method, url, headers: withCredentials(request, caller), ...body !== undefined && { payload: body } } as InjectOptions
  const { statusCode, headers, rawPayload } = await server.app.inject(options)
  return { status: statusCode, headers, body: decompressed(rawPayload, headers['content-encoding']), isComplete: true }
}

/** Sends a request over a real connection, since the client must be able to close an event stream. */
async function overNetwork ({ server }: World, request: HttpRequest, caller: Caller): Promise<HttpAnswer> {
  const { method, url, body } = request
  const headers = Object.entries(withCredentials(request, caller))
    .filter(([name, value]) => isSendable(value) && (body === undefined || name.toLowerCase() !== 'content-length'))
  // Node.js omits Content-Length for some methods, and accepts no further headers after an `Expect`.
  const length = body === undefined ? {} : { 'content-length': body.length }
  const sent = http.request({ host: '127.0.0.1', port: server.port, method, path: url, headers: { ...Object.fromEntries(headers), ...length }, agent: false })
  sent.on('error', () => { /* the reader of the answer gets the error */ })
  sent.end(body)
  const [answer] = await once(sent, 'response') as [http.IncomingMessage]
  const isStream = answer.headers['content-type']?.startsWith('text/event-stream')
  const chunks: Buffer[] = []
  let isComplete = true
  const leave = setTimeout(() => {
    isComplete = false
    sent.destroy()
  }, isStream ? STREAM_MS[method === 'GET' ? 'GET' : 'POST'] : ANSWER_MS)
  try {
    for await (const chunk of answer) chunks.push(chunk as Buffer)
  } catch (error) {
    if (isComplete) throw error
  } finally {
    clearTimeout(leave)
    sent.destroy()
  }
  const received = Buffer.concat(chunks)
  return { status: answer.statusCode!, headers: answer.headers, body: isComplete ? decompressed(received, answer.headers['content-encoding']) : received, isComplete }
}

function withCredentials ({ headers, credentials }: HttpRequest, { token, headers: own = {}, role }: Caller): Headers {
  if (token === undefined) return headers
  return credentials === 'bearer' || role === 'server' ? { authorization: `Bearer ${token}`, ...own, ...headers } : { cookie: `session=${token}`, ...headers }
}

export async function within<T> (milliseconds: number, work: () => Promise<T>): Promise<T> {
  const ended = new AbortController()
  try {
    return await Promise.race([work(), sleep(milliseconds, undefined, { signal: ended.signal }).then(() => { throw new Error(`No answer within ${milliseconds / 1000} s`) })])
  } finally {
    ended.abort()
  }
}

/** Node's HTTP client cannot send characters outside Latin-1 in a header, but `inject` can. */
function isSendable (value: string) {
  return !/[^\t\x20-\x7e\x80-\xff]/.test(value)
}

function decompressed (body: Buffer, encoding: unknown) {
  if (encoding === 'gzip') return gunzipSync(body)
  return encoding === 'br' ? brotliDecompressSync(body) : body
}
