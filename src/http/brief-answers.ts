import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import compress from '@fastify/compress'
import fp from 'fastify-plugin'
import type { FastifyReply } from 'fastify'
import { nothing } from './paging.ts'

/** Answers of fewer bytes are sent as they are: they fit into a packet or two, and compressing them costs more than it saves. */
const MIN_COMPRESSED_BYTES = 2 * 1024

/** Up to this many bytes compressing takes less time than handing the work to another thread. */
const MAX_SYNC_BYTES = 16 * 1024

/**
 * Sends no body for `HEAD`, answers 304 when the client has the current version, and compresses responses where the client
 * accepts that. Keeps responses out of shared caches, unless the route has a `Cache-Control` of its own.
 */
export const answerBriefly = fp(async function answerBriefly (app) {
  app.addHook('onSend', async ({ method, headers, raw }, reply, payload) => {
    // The response may be private: proxies must not store it, and browsers must revalidate it. Without the header, caches may decide for
    // themselves how long they keep a response to a request with a cookie. See RFC 9111, section 4.2.2.
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'private, no-cache')
    if (method === 'HEAD' && payload instanceof Readable) {
      payload.destroy() // Fastify would read the body to its end, and an event stream has none
      return nothing()
    }
    if (method === 'HEAD' && reply.statusCode === 204) {
      reply.removeHeader('content-type') // Fastify removes it, and the length of `null`, for `GET` only
      return nothing()
    }
    if (typeof payload !== 'string' || payload.length < MIN_COMPRESSED_BYTES) return payload
    vary(reply, 'Accept-Encoding')
    if (reply.getHeader('cache-control') === 'no-store') {
      // The response contains a token. Compressed together with text that an attacker chose, its length would reveal the token (BREACH).
      raw.headers['x-no-compression'] = 'token'
      return payload
    }
    if ((method !== 'GET' && method !== 'HEAD') || reply.statusCode !== 200) return payload
    // Encode the text once: hashing and sending a string would each encode it, which takes milliseconds for a page of 1 MiB.
    const bytes = Buffer.from(payload)
    const tag = `W/"${createHash('sha1').update(bytes).digest('base64url')}"`
    reply.header('etag', tag)
    if (!matches(headers['if-none-match'], tag)) return bytes
    reply.code(304)
    return null
  })

  await app.register(compress, {
    globalDecompression: false,
    encodings: ['br', 'gzip'],
    threshold: MIN_COMPRESSED_BYTES,
    syncThreshold: MAX_SYNC_BYTES
  })
})

/** @see RFC 9110, 13.1.2: compared weakly */
function matches (header: string | undefined, tag: string) {
  return header?.split(',').some(one => one.trim() === '*' || one.trim().replace(/^(W\/)?/, 'W/') === tag) ?? false
}

function vary (reply: FastifyReply, name: string) {
  reply.header('vary', [reply.getHeader('vary'), name].filter(Boolean).join(', '))
}
