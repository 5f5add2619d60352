import { setTimeout as sleep } from 'node:timers/promises'
import { BrokenCircuitError, circuitBreaker, ConsecutiveBreaker, handleWhen, type CircuitBreakerPolicy } from 'cockatiel'
import type { Config } from '../config.ts'
import { failure, type ReplyPiece } from './bot.ts'
import { createClock, type Limits } from './reply-timeouts.ts'
import { tidy } from './pieces.ts'
import { isFailure, mayPass } from './refusal.ts'

/** Sends one request to a provider. Must close everything that it opened when the signal aborts. */
export type Ask = (signal: AbortSignal) => Promise<AsyncIterable<ReplyPiece> | Iterable<ReplyPiece>>

export type CallConfig = Pick<Config,
  'BOT_TIMEOUT_FIRST' | 'BOT_TIMEOUT_SILENCE' | 'BOT_TIMEOUT' | 'BOT_BREAKER_FAILURES' | 'BOT_BREAKER_PAUSE'>

export type Call = ReturnType<typeof createCall>

const RETRIES = 2

interface Begun { first: IteratorResult<ReplyPiece, void>, rest: AsyncGenerator<ReplyPiece, void> }

/** Calls providers, with timeouts, retries, and a circuit breaker for each provider's address. */
export function createCall (config: CallConfig) {
  const limits: Limits = {
    firstToken: config.BOT_TIMEOUT_FIRST * 1000,
    silence: config.BOT_TIMEOUT_SILENCE * 1000,
    whole: config.BOT_TIMEOUT * 1000
  }
  const breakers = new Map<string, CircuitBreakerPolicy>()

  /**
   * Gives the pieces of one reply. A temporary failure before the first token is retried. A provider that has failed several
   * times in a row gets no requests for a while (circuit breaker). Reasoning counts as tokens for the timeouts. Ends without an
   * error when `stopped` aborts.
   * @throws failures only
   */
  return async function * call (address: string, ask: Ask, stopped: AbortSignal): AsyncGenerator<ReplyPiece, void> {
    if (stopped.aborted) return
    const clock = createClock(limits, stopped)
    try {
      const { first, rest } = await unlessAborted(breakerOf(address).execute(() => begin(ask, clock)), clock.signal)
      clock.begins()
      for (let next = first; !next.done; next = await clock.wait(rest.next())) yield next.value
    } catch (error) {
      if (stopped.aborted) return
      if (clock.signal.aborted) throw clock.signal.reason
      throw error instanceof BrokenCircuitError ? failure('BOT_OVERLOADED', error) : error
    } finally {
      clock.end()
    }
  }

  function breakerOf (address: string) {
    const known = breakers.get(address)
    if (known !== undefined) return known
    const breaker = circuitBreaker(handleWhen(isTheProviders), {
      breaker: new ConsecutiveBreaker(config.BOT_BREAKER_FAILURES),
      halfOpenAfter: config.BOT_BREAKER_PAUSE * 1000
    })
    breakers.set(address, breaker)
    return breaker
  }
}

/** Calls the provider until the first token arrives, with up to two retries. */
async function begin (ask: Ask, clock: ReturnType<typeof createClock>, retries = RETRIES): Promise<Begun> {
  const { signal, firstBy } = clock
  try {
    const rest = tidy(await ask(signal))
    return { first: await rest.next(), rest }
  } catch (error) {
    signal.throwIfAborted()
    if (!mayPass(error) || retries === 0) throw error
    // Wait at least as long as the provider asks. The random part keeps many replies from retrying at the same moment.
    const pause = (error.retryAfter ?? 250 * 2 ** (RETRIES - retries)) + Math.random() * 250
    if (Date.now() + pause >= firstBy) throw error
    await sleep(pause, undefined, { signal, ref: false })
    return await begin(ask, clock, retries - 1)
  }
}

/** Whether a failure counts for the circuit breaker. A refused key, a rate limit or an unreadable answer does not mean that the provider is down. */
function isTheProviders (error: unknown) {
  return isFailure(error) && ['BOT_UNREACHABLE', 'BOT_SILENT', 'BOT_BROKE_OFF'].includes(error.failure)
}

/** Rejects when the signal aborts. The breaker may make this call wait for another call's attempt, which does not know our signal. */
async function unlessAborted<T> (work: Promise<T>, signal: AbortSignal) {
  const aborted = new Promise<void>(resolve => { signal.addEventListener('abort', () => { resolve() }, { once: true }) })
  return await Promise.race([work, aborted.then((): never => { throw signal.reason })])
}
