import { Agent } from 'undici'
import { failure, type ReplyPiece } from './bot.ts'
import { createCompletionReader, statusIn } from './completion.ts'
import { readPieces } from './event-stream.ts'
import { post } from './post.ts'
import { providerRequest } from './provider-address.ts'
import { isFailure, refusal, unreachable } from './refusal.ts'
import { meaningOf, readRefusal, type ProviderRefusal } from './refusals.ts'
import { createRedaction } from './secrets.ts'
import { createMemory, createThoughtFilter } from './thoughts.ts'

/** A failure because the provider refuses the request, with the provider's reason. */
export type RequestRefused = ReturnType<typeof failure> & { refusal: ProviderRefusal }

export const isRequestRefused = (error: unknown): error is RequestRefused => isFailure(error) && 'refusal' in error

export interface ProviderOptions { address: string, key: string, connectTimeoutMs: number }

/** `body` is JSON, and `model` the model in it. `begins` is called when the provider begins to answer. */
export interface CompletionRequest { body: string, model: string, begins: () => void }

/** How much of a refusal is read at most. */
const MAX_BYTES = 64 * 1024
/** How long the reading of a refusal may take, in milliseconds. */
const MAX_TIME_MS = 2000

/** A server with OpenAI's chat completions API, or a compatible one. It has a pool of connections of its own. */
export function createProvider ({ address, key, connectTimeoutMs }: ProviderOptions) {
  // No timeouts of undici, which would cut off slow models. `reply-timeouts.ts` has ours.
  const pool = new Agent({ headersTimeout: 0, bodyTimeout: 0, connect: { timeout: connectTimeoutMs } })
  const { url, headers } = providerRequest(address, '/chat/completions', key)
  const secretsInUrl = [...url.searchParams].filter(([name]) => name !== 'api-version').map(([, value]) => value)
  const redact = createRedaction([key, url.password, ...secretsInUrl])
  const memory = createMemory()

  return {
    close: () => pool.destroy(),

    /**
     * Sends a request and gives the pieces of the answer. Ends when the signal aborts.
     * @throws a failure; a `RequestRefused` if the provider refuses the request
     */
    async complete ({ body, model, begins }: CompletionRequest, signal: AbortSignal): Promise<AsyncGenerator<ReplyPiece, void>> {
      const answer = await post(url.href, { headers: { ...headers, 'content-type': 'application/json', 'user-agent': 'parley' }, body, signal, dispatcher: pool })
        .catch((error: unknown) => { throw unreachable(chainOf(error)) })
      if (!answer.ok) {
        const said = await beginningOf(answer.body)
        throw refused(answer.status, said, answer.headers)
      }
      const close = () => { answer.body.destroy() }
      return readPieces(answer.body, createCompletionReader({
        thoughts: createThoughtFilter(model, memory),
        begins,
        reported: ({ body, isLate, hasThought }) => {
          const said = JSON.stringify(body)
          if (isLate) return failure('BOT_BROKE_OFF', logged(said))
          const error = refused(statusIn(body), said, answer.headers)
          // The reasoning is shown already, so the request is not sent again without the turns that a filter may refuse.
          return hasThought && meaningOf(error.refusal, new Set()).kind === 'content' ? failure('MESSAGE_REFUSED', error.cause) : error
        },
        filtered: isLate => isLate ? failure('MESSAGE_REFUSED', logged('content_filter')) : refused(0, '{"code":"content_filter"}', answer.headers),
        unusable: (code, what, head) => failure(code, logged(head === '' ? what : `${what}: ${head}`))
      }), close)
    }
  }

  function refused (status: number, said: string, headers: Pick<Headers, 'get'>): RequestRefused {
    const cause = logged(`${status === 0 ? '' : `${status} `}${said.trim()}`)
    return Object.assign(refusal(status, headers, cause), { refusal: readRefusal(status, said) })
  }

  /** Makes an error for the log: cut to a page, and without the key, which some providers repeat in their errors. */
  function logged (words: string) {
    return new Error(redact(words))
  }

  /** Joins the messages of an error and of its causes. */
  function chainOf (error: unknown) {
    const said: string[] = []
    for (let at = error; at instanceof Error; at = at.cause) {
      const { message, code = '' } = at as NodeJS.ErrnoException
      said.push(message.includes(code) ? message : `${message} ${code}`)
    }
    return logged(said.join(': '))
  }
}

/** Reads the beginning of a refusal's body, within MAX_BYTES and MAX_TIME_MS, because it may never end. */
async function beginningOf (body: AsyncIterable<Uint8Array> & { destroy: () => unknown }): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  const timer = setTimeout(() => { body.destroy() }, MAX_TIME_MS).unref()
  try {
    for await (const chunk of body) {
      chunks.push(chunk)
      if ((length += chunk.length) > MAX_BYTES) break
    }
  } catch {
    // The connection broke. Use what arrived before.
  } finally {
    clearTimeout(timer)
  }
  return Buffer.concat(chunks).subarray(0, MAX_BYTES).toString()
}
