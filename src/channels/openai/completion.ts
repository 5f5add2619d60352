import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import type { FastifyReply } from 'fastify'
import type { KeyStore, ServerKey } from '../../accounts/keys/key-store.ts'
import type { SessionUser, Sessions } from '../../accounts/sessions.ts'
import { COMMENT, STREAM_HEADERS } from '../../conversations/live/sse.ts'
import { INVALID_REQUEST, UNAUTHORIZED, UNAVAILABLE } from '../../errors.ts'
import { whenOver } from '../../http/when-over.ts'
import type { Question, UnstoredReplies } from '../../replies/unstored.ts'
import { inOpenAiWords } from './errors.ts'
import type { CompletionAnswer } from './schema.ts'

/** How often a comment is sent, because proxies close idle connections. */
const HEARTBEAT_INTERVAL_MS = 15_000

/** How long a client may read nothing. A reply that waits for it would keep its place for as long. */
const READ_TIMEOUT_MS = 60_000

/** How long a stream that is cut off, because its session has ended or the server closes, waits for its reader to take what was sent. */
const CLOSE_TIMEOUT_MS = 200

export interface CompletionOptions {
  unstored: UnstoredReplies
  sessions: Pick<Sessions, 'watch'>
  keys: Pick<KeyStore, 'watch'>
}

/** Who asks: a user, or a server in its own name. */
export type Asker = { user: SessionUser } | { serverKey: ServerKey }

export type Completions = ReturnType<typeof createCompletions>

type Usage = CompletionAnswer['usage']
type OurError = Error & { code: string, statusCode: number }

/** Answers in the format of OpenAI's chat completions, version 1. */
export function createCompletions ({ unstored, sessions, keys }: CompletionOptions) {
  /** Asks the bot until the client disconnects, its session or key ends, or the server closes. */
  async function write (question: Question, asker: Asker, reply: FastifyReply, hear: (text: string, replaces: boolean, signal: AbortSignal) => void | Promise<void>) {
    const abort = new AbortController()
    const stop = () => abort.abort('stopped')
    whenOver(reply, stop)
    const forget = 'user' in asker ? sessions.watch(asker.user.sessionId, stop) : keys.watch(asker.serverKey.id, stop)
    try {
      const used = await unstored.write(question, abort, (text, replaces) => hear(text, replaces, abort.signal))
      if (!abort.signal.aborted) return usageOf(used)
    } finally {
      forget()
    }
    if (abort.signal.reason === 'interrupted') throw new UNAVAILABLE()
    throw reply.raw.destroyed ? new INVALID_REQUEST() : new UNAUTHORIZED() // nobody sees the first one
  }

  return {
    async whole (question: Question, asker: Asker, reply: FastifyReply): Promise<CompletionAnswer> {
      let content = ''
      const usage = await write(question, asker, reply, (text, replaces) => { content = replaces ? text : content + text })
      return {
        ...headOf(question, 'chat.completion'),
        choices: [{ index: 0, message: { role: 'assistant', content, refusal: null }, logprobs: null, finish_reason: 'stop' }],
        usage
      }
    },

    /** Sends the reply as it grows. An error before the first piece is answered as usual; a later one ends the stream. */
    async streamed (question: Question, asker: Asker, reply: FastifyReply, includesUsage: boolean) {
      const head = headOf(question, 'chat.completion.chunk')
      const out = new PassThrough()
      let isBegun = false

      function begin () {
        if (isBegun) return
        isBegun = true
        reply.type('text/event-stream').headers(STREAM_HEADERS).send(out)
      }

      function say (text: string) {
        begin()
        if (out.writable) out.write(text)
      }

      function chunk (delta: object, finishReason: 'stop' | null = null) {
        return frame({ ...head, choices: [{ index: 0, delta, logprobs: null, finish_reason: finishReason }], ...includesUsage && { usage: null } })
      }

      const heartbeat = setInterval(() => say(COMMENT), HEARTBEAT_INTERVAL_MS).unref()
      let isFirst = true
      try {
        const usage = await write(question, asker, reply, async (text, _replaces, signal) => {
          if (isFirst) say(chunk({ role: 'assistant', content: '' }))
          isFirst = false
          if (text !== '') say(chunk({ content: text }))
          if (!out.writableNeedDrain) return
          await once(out, 'drain', { signal: AbortSignal.any([signal, AbortSignal.timeout(READ_TIMEOUT_MS)]) }).catch(() => { out.destroy() })
        })
        say(chunk({}, 'stop') + (includesUsage ? frame({ ...head, choices: [], usage }) : '') + 'data: [DONE]\n\n')
      } catch (error) {
        if (!isBegun) throw error
        const { statusCode, code, message } = error as OurError
        say(frame(inOpenAiWords({ statusCode, code, error: message })))
        const isCutOff = error instanceof UNAUTHORIZED || error instanceof UNAVAILABLE
        if (isCutOff) setTimeout(() => out.destroy(), CLOSE_TIMEOUT_MS).unref()
      } finally {
        clearInterval(heartbeat)
        out.end()
      }
      return reply
    }
  }
}

function headOf <T extends string> ({ bot }: Question, object: T) {
  return { id: `chatcmpl-${randomUUID()}`, object, created: Math.floor(Date.now() / 1000), model: bot.name }
}

function usageOf ({ promptTokens, completionTokens }: { promptTokens: number, completionTokens: number }): Usage {
  return { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: promptTokens + completionTokens }
}

const frame = (data: object) => `data: ${JSON.stringify(data)}\n\n`
