import { createHmac } from 'node:crypto'
import { failure, type ReplyPiece, type ReplyContext, type StreamingBot, type Turn } from './bot.ts'
import type { Call } from './provider-call.ts'
import { parse, readPieces } from './event-stream.ts'
import { createFencedPost, type FencedConfig } from './fenced-post.ts'
import type { Lookup } from './ssrf-guard.ts'
import { readAnswer } from './webhook-answer.ts'
import type { WebhookSettings } from './settings.ts'

/** Webhook bots: the history is posted to them in a signed request, and they answer with JSON or an event stream. */
export function createWebhook (config: FencedConfig, call: Call, lookup?: Lookup) {
  const servers = createFencedPost(config, { who: 'webhook', maxMebibytes: 1, lookup })

  return {
    close: servers.close,
    createBot: ({ url, secret }: WebhookSettings): StreamingBot => (turns, signal, context) => {
      const body = JSON.stringify(questionOf(turns, context))
      return call(url, signal => ask(url, secret, body, signal), signal, context?.user?.id)
    }
  }

  async function ask (url: string, secret: string, body: string, signal: AbortSignal): Promise<AsyncIterable<ReplyPiece> | ReplyPiece[]> {
    const time = String(Math.floor(Date.now() / 1000))
    const signature = createHmac('sha256', secret).update(`${time}.${body}`).digest('hex')
    const headers = { 'parley-time': time, 'parley-signature': `sha256=${signature}` }
    const { isStream, bytes, close } = await servers.send({ url, headers, body, signal })
    return isStream ? readPieces(bytes, { read: readAnswer }, close) : piecesOfWhole(parse(await textOf(bytes)))
  }
}

/** The body of a request: the history, and the context of the reply. docs/bots.md describes its fields. */
function questionOf (history: Turn[], context: ReplyContext | undefined) {
  const turns = history.map(({ sender, name, text }) => ({ sender, name, text }))
  if (context === undefined) return { turns }
  const { conversation, message, user, channel, state, metadata, instructions } = context
  const about = message && { id: message.id, reply_id: message.replyId, parts: message.parts, metadata: message.metadata }
  return { turns, conversation, message: about, user, channel, state, metadata, instructions }
}

/** @throws BOT_NONSENSE when the answer has no text. Only an event of a stream may have none. */
function piecesOfWhole (answer: unknown): ReplyPiece[] {
  const { pieces } = readAnswer(answer)
  if (!pieces.some(piece => 'text' in piece || 'part' in piece)) throw failure('BOT_NONSENSE', new Error('The webhook\'s answer has no text'))
  return pieces
}

async function textOf (bytes: AsyncIterable<Uint8Array>) {
  const chunks: Uint8Array[] = []
  for await (const chunk of bytes) chunks.push(chunk)
  return new TextDecoder().decode(Buffer.concat(chunks)) // without the byte order mark that .NET writes
}
