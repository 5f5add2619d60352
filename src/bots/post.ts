import { once } from 'node:events'
import { pipeline, type Duplex, type Readable } from 'node:stream'
import { constants, createBrotliDecompress, createGunzip, createInflate, createInflateRaw, createZstdDecompress } from 'node:zlib'
import { Headers, request, type Dispatcher } from 'undici'

/** A request, and the pool of connections through which it is sent. Redirects are not followed. */
export interface Posted {
  headers: Record<string, string>
  body: string
  signal: AbortSignal
  dispatcher: Dispatcher
}

/**
 * Sends a POST request. The response has the fields of `fetch` that we need. Its body is a stream of bytes, which fails when the
 * signal aborts. Unlike `fetch`, this does not put two more streams between us and the socket.
 */
export async function post (url: string, { headers, body, signal, dispatcher }: Posted) {
  // Ask for an uncompressed response: a compressed one arrives in larger pieces, so words would be delayed. Some proxies compress it anyway.
  const answer = await request(url, { method: 'POST', headers: { 'accept-encoding': 'identity', ...headers }, body, signal, dispatcher })
  answer.body.on('error', ignore)
  const status = answer.statusCode
  const all = new Headers(Object.entries(answer.headers).map(([name, value]) => [name, String(value)]))
  return { status, ok: status >= 200 && status < 300, headers: all, body: await decoded(answer.body, all.get('content-encoding') ?? '') }
}

/** How often a body may be compressed. Each time takes memory for a decoder, and one header has room for thousands of names. */
const MAX_ENCODINGS = 5

/** Decompresses a body. @see RFC 9110, section 8.4.1 */
async function decoded (body: Readable, encodings: string): Promise<Readable> {
  const names = encodings.toLowerCase().split(',').map(name => name.trim())
  if (names.length > MAX_ENCODINGS) {
    body.destroy()
    throw new Error(`The answer has ${names.length} content encodings`)
  }
  let decoded = body
  for (const encoding of names.reverse()) {
    const decoder = await decoderOf(encoding, decoded)
    if (decoder === undefined) continue
    pipeline(decoded, decoder, ignore)
    decoded = decoder.on('error', ignore)
  }
  return decoded
}

/** Creates a decoder; undefined for an unknown encoding. If the response is cut off, the decoder still outputs everything that arrived before. */
async function decoderOf (encoding: string, source: Readable): Promise<Duplex | undefined> {
  const cut = { finishFlush: constants.Z_SYNC_FLUSH }
  switch (encoding) {
    case 'gzip':
    case 'x-gzip': return createGunzip(cut)
    case 'zstd': return createZstdDecompress({ finishFlush: constants.ZSTD_e_flush })
    case 'br': return createBrotliDecompress({ finishFlush: constants.BROTLI_OPERATION_FLUSH })
    // Some servers send raw deflate, without the zlib header that the standard requires.
    case 'deflate': return (await firstByteOf(source) & 0x0f) === 8 ? createInflate(cut) : createInflateRaw(cut)
  }
}

async function firstByteOf (source: Readable): Promise<number> {
  for (;;) {
    const first = source.read(1) as Buffer | null
    if (first !== null) {
      source.unshift(first)
      return first[0]!
    }
    if (source.readableEnded || source.destroyed) return 0
    await Promise.race([once(source, 'readable'), once(source, 'end')])
  }
}

/** The reader of the body gets the error too. Without a listener, an error before the first read would be uncaught and end the process. */
function ignore () {}
