import { Agent } from 'undici'
import type { Config } from '../config.ts'
import { failure } from './bot.ts'
import { post } from './post.ts'
import { isFailure, refusal, unreachable } from './refusal.ts'
import { createFencedConnector, type Lookup } from './ssrf-guard.ts'

export type FencedConfig = Pick<Config, 'WEBHOOK_ALLOW' | 'BOT_TIMEOUT_CONNECT'>

/** `who` names the kind of server in errors. `maxMebibytes` is the limit of an answer after decompression. */
export interface FencedOptions { who: string, maxMebibytes: number, lookup?: Lookup | undefined }

export interface FencedRequest { url: string, headers: Record<string, string>, body: string, signal: AbortSignal }

/** Posts JSON to addresses that admins enter, through a pool of connections that does not reach our own network. */
export function createFencedPost ({ WEBHOOK_ALLOW: allow = '', BOT_TIMEOUT_CONNECT: connectTimeout }: FencedConfig, { who, maxMebibytes, lookup }: FencedOptions) {
  // No timeouts of undici, which would cut off slow bots. `reply-timeouts.ts` has ours.
  const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0, connect: createFencedConnector(allow, connectTimeout * 1000, lookup) })

  return {
    close: () => dispatcher.destroy(),

    /**
     * Sends a request. Returns a successful answer; its `close` closes the connection.
     * @throws the failure of `refusal` for another status, BOT_UNREACHABLE, BOT_REFUSED for an address inside our own network
     */
    async send ({ url, headers, body, signal }: FencedRequest) {
      const answer = await post(url, { headers: { 'user-agent': 'parley', 'content-type': 'application/json', ...headers }, body, signal, dispatcher })
        .catch((error: unknown) => { throw isFailure(error) ? notAllowed(error) : unreachable(error) })
      const close = () => { answer.body.destroy() }
      if (!answer.ok) {
        close()
        throw refusal(answer.status, answer.headers, new Error(`The ${who} answered with status ${answer.status}`))
      }
      return { isStream: answer.headers.get('content-type')?.toLowerCase().startsWith('text/event-stream') ?? false, bytes: bounded(answer.body), close }
    }
  }

  /** @throws BOT_NONSENSE when the answer is too long, BOT_BROKE_OFF when the connection breaks */
  async function * bounded (body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
    let left = maxMebibytes * 1024 * 1024
    try {
      for await (const chunk of body) {
        left -= chunk.length
        if (left < 0) throw failure('BOT_NONSENSE', new Error(`The ${who}'s answer is larger than ${maxMebibytes} MiB`))
        yield chunk
      }
    } catch (error) {
      throw isFailure(error) ? error : failure('BOT_BROKE_OFF', error)
    }
  }
}

/** The failure of a connection that the SSRF guard refused, which does not know the setting. */
function notAllowed ({ cause }: Error) {
  return failure('BOT_REFUSED', new Error(`${(cause as Error).message}, and WEBHOOK_ALLOW does not list it`))
}
