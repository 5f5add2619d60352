import { createHmac } from 'node:crypto'
import { Agent } from 'undici'
import type { Config } from '../config.js'
import { failure, type Piece, type StreamingBot } from './bot.js'
import type { Call } from './call.js'
import { parse, readPieces, type Said } from './event-stream.js'
import { createFencedConnector, type Lookup } from './fence.js'
import { post } from './post.js'
import { isFailure, refusal, unreachable } from './refusal.js'
import type { WebhookSettings } from './settings.js'

export type WebhookConfig = Pick<Config, 'WEBHOOK_ALLOW' | 'BOT_TIMEOUT_CONNECT'>

const MOST_BYTES = 1024 * 1024

/** Bots that live elsewhere: what was said is posted to them, signed, and they answer as JSON or as an event stream. */
export function createWebhook ({ WEBHOOK_ALLOW: allow = '', BOT_TIMEOUT_CONNECT: connectTimeout }: WebhookConfig, call: Call, lookup?: Lookup) {
  const pool = new Agent({ headersTimeout: 0, bodyTimeout: 0, connect: createFencedConnector(allow, connectTimeout * 1000, lookup) })

  return {
    close: () => pool.destroy(),
    createBot: ({ url, secret }: WebhookSettings): StreamingBot => (turns, signal) => {
      const body = JSON.stringify({ turns })
      return call(url, signal => ask(url, secret, body, signal), signal)
    }
  }

  async function ask (url: string, secret: string, text: string, signal: AbortSignal): Promise<AsyncIterable<Piece> | Piece[]> {
    const { ok, status, headers, body } = await send(url, secret, text, signal)
    if (!ok) {
      body.destroy()
      throw refusal(status, headers, new Error(`The webhook answered with status ${status}`))
    }
    const bytes = bounded(body)
    return headers.get('content-type')?.startsWith('text/event-stream') ? readPieces(bytes, said) : said(parse(await textOf(bytes))).pieces
  }

  async function send (url: string, secret: string, body: string, signal: AbortSignal) {
    const time = String(Math.floor(Date.now() / 1000))
    const signature = createHmac('sha256', secret).update(`${time}.${body}`).digest('hex')
    try {
      const headers = { 'user-agent': 'parley', 'content-type': 'application/json', 'parley-time': time, 'parley-signature': `sha256=${signature}` }
      return await post(url, { headers, body, signal, dispatcher: pool })
    } catch (error) {
      throw unreachable(error)
    }
  }
}

/** @throws BOT_NONSENSE */
function said (answer: unknown): Said {
  const { text } = (answer ?? {}) as { text?: unknown }
  if (typeof text !== 'string') throw failure('BOT_NONSENSE', new Error('The webhook\'s answer has no text'))
  return { pieces: [{ text }] }
}

/** @throws BOT_NONSENSE for more than 1 MiB, BOT_BROKE_OFF */
async function * bounded (body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  let left = MOST_BYTES
  try {
    for await (const chunk of body) {
      left -= chunk.length
      if (left < 0) throw failure('BOT_NONSENSE', new Error('The webhook\'s answer is larger than 1 MiB'))
      yield chunk
    }
  } catch (error) {
    throw isFailure(error) ? error : failure('BOT_BROKE_OFF', error)
  }
}

async function textOf (bytes: AsyncIterable<Uint8Array>) {
  const chunks: Uint8Array[] = []
  for await (const chunk of bytes) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}
