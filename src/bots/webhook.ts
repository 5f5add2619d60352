import { createHmac } from 'node:crypto'
import { Agent } from 'undici'
import type { Config } from '../config.ts'
import { failure, type ReplyPiece, type ReplyContext, type StreamingBot, type Turn } from './bot.ts'
import type { Call } from './provider-call.ts'
import { parse, readPieces } from './event-stream.ts'
import { createFencedConnector, type Lookup } from './ssrf-guard.ts'
import { post } from './post.ts'
import { readAnswer } from './webhook-answer.ts'
import { isFailure, refusal, unreachable } from './refusal.ts'
import type { WebhookSettings } from './settings.ts'

export type WebhookConfig = Pick<Config, 'WEBHOOK_ALLOW' | 'BOT_TIMEOUT_CONNECT'>

const MAX_BYTES = 1024 * 1024

/** Bots that live elsewhere: what was said is posted to them, signed, and they answer as JSON or as an event stream. */
export function createWebhook ({ WEBHOOK_ALLOW: allow = '', BOT_TIMEOUT_CONNECT: connectTimeout }: WebhookConfig, call: Call, lookup?: Lookup) {
  const pool = new Agent({ headersTimeout: 0, bodyTimeout: 0, connect: createFencedConnector(allow, connectTimeout * 1000, lookup) })

  return {
    close: () => pool.destroy(),
    createBot: ({ url, secret }: WebhookSettings): StreamingBot => (turns, signal, context) => {
      const body = JSON.stringify(questionOf(turns, context))
      return call(url, signal => ask(url, secret, body, signal), signal)
    }
  }

  async function ask (url: string, secret: string, text: string, signal: AbortSignal): Promise<AsyncIterable<ReplyPiece> | ReplyPiece[]> {
    const { ok, status, headers, body } = await send(url, secret, text, signal)
    if (!ok) {
      body.destroy()
      throw refusal(status, headers, new Error(`The webhook answered with status ${status}`))
    }
    const bytes = bounded(body)
    const close = () => { body.destroy() }
    return headers.get('content-type')?.startsWith('text/event-stream') ? readPieces(bytes, { read: readAnswer }, close) : piecesOfWhole(parse(await textOf(bytes)))
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

/** What is posted: what was said, and where the bot is asked, by whom and to which message. */
function questionOf (turns: Turn[], context: ReplyContext | undefined) {
  if (context === undefined) return { turns }
  const { conversation, message, user, channel, state, metadata, instructions } = context
  const about = message && { id: message.id, reply_id: message.replyId, parts: message.parts, metadata: message.metadata }
  return { turns, conversation, message: about, user, channel, state, metadata, instructions }
}

/** @throws BOT_NONSENSE when there is no text in it, which an event of a stream may lack */
function piecesOfWhole (answer: unknown): ReplyPiece[] {
  const { pieces } = readAnswer(answer)
  if (!pieces.some(piece => 'text' in piece || 'part' in piece)) throw failure('BOT_NONSENSE', new Error('The webhook\'s answer has no text'))
  return pieces
}

/** @throws BOT_NONSENSE for more than 1 MiB, BOT_BROKE_OFF */
async function * bounded (body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  let left = MAX_BYTES
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
