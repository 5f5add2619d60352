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
  /** Whether all of the body came. A stream of events is left after a while. */
  isComplete: boolean
}

/** How long a stream of events is read. One that answers a POST ends by itself, mostly sooner. */
const STREAM_MS = { GET: 20, POST: 200 }

/** An answer that takes longer is a fault. It is far more than a busy machine needs for one request. */
const ANSWER_MS = 30_000

/** Sends a request and reads its answer. @throws when none comes within `ANSWER_MS` */
export async function sendHttp (world: World, request: HttpRequest, caller: Caller): Promise<HttpAnswer> {
  const mayStream = request.url.includes('/events') || Object.values(request.headers).some(value => value.includes('event-stream'))
  return await within(ANSWER_MS, async () => mayStream ? await overNetwork(world, request, caller) : await injected(world, request, caller))
}

async function injected ({ server }: World, request: HttpRequest, caller: Caller): Promise<HttpAnswer> {
  const { method, url, body } = request
  // light-my-request's type has fewer methods than it takes.
  const options = { method, url, headers: withCredentials(request, caller), ...body !== undefined && { payload: body } } as InjectOptions
  const { statusCode, headers, rawPayload } = await server.app.inject(options)
  return { status: statusCode, headers, body: decompressed(rawPayload, headers['content-encoding']), isComplete: true }
}

/** A stream needs a connection that can be left. */
async function overNetwork ({ server }: World, request: HttpRequest, caller: Caller): Promise<HttpAnswer> {
  const { method, url, body } = request
  const headers = Object.entries(withCredentials(request, caller))
    .filter(([name, value]) => isSendable(value) && (body === undefined || name.toLowerCase() !== 'content-length'))
  // Node leaves the length out for some methods, and takes no more headers once it has seen an `Expect` among them.
  const length = body === undefined ? {} : { 'content-length': body.length }
  const sent = http.request({ host: '127.0.0.1', port: server.port, method, path: url, headers: { ...Object.fromEntries(headers), ...length }, agent: false })
  sent.on('error', () => { /* the reader of the answer is told */ })
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

/** Node's own client sends no characters beyond Latin-1 in a header; `inject` does. */
function isSendable (value: string) {
  return !/[^\t\x20-\x7e\x80-\xff]/.test(value)
}

function decompressed (body: Buffer, encoding: unknown) {
  if (encoding === 'gzip') return gunzipSync(body)
  return encoding === 'br' ? brotliDecompressSync(body) : body
}
