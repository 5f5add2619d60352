import { setTimeout as sleep } from 'node:timers/promises'
import { BrokenCircuitError, circuitBreaker, ConsecutiveBreaker, handleWhen, type CircuitBreakerPolicy } from 'cockatiel'
import type { Config } from '../config.ts'
import { failure, type ReplyPiece } from './bot.ts'
import { createClock, type Limits } from './reply-timeouts.ts'
import { tidy } from './pieces.ts'
import { isFailure, mayPass } from './refusal.ts'

/** Asks a provider once. Whatever it opens it closes when the signal aborts. */
export type Ask = (signal: AbortSignal) => Promise<AsyncIterable<ReplyPiece> | Iterable<ReplyPiece>>

export type CallConfig = Pick<Config,
  'BOT_TIMEOUT_FIRST' | 'BOT_TIMEOUT_SILENCE' | 'BOT_TIMEOUT' | 'BOT_BREAKER_FAILURES' | 'BOT_BREAKER_PAUSE'>

export type Call = ReturnType<typeof createCall>

const RETRIES = 2

interface Begun { first: IteratorResult<ReplyPiece, void>, rest: AsyncGenerator<ReplyPiece, void> }

/** Calls providers, each known by its address, for as long as patience lasts. */
export function createCall (config: CallConfig) {
  const limits: Limits = {
    firstToken: config.BOT_TIMEOUT_FIRST * 1000,
    silence: config.BOT_TIMEOUT_SILENCE * 1000,
    whole: config.BOT_TIMEOUT * 1000
  }
  const breakers = new Map<string, CircuitBreakerPolicy>()

  /**
   * One reply of the provider, within the limits of time. Until the first token it is asked again where that may help;
   * a provider that failed time and again is left alone for a while. What a model thinks counts as a sign of life.
   * Ends when `stopped` aborts.
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

/** Up to the first token, which may be the second or third attempt's. */
async function begin (ask: Ask, clock: ReturnType<typeof createClock>, retries = RETRIES): Promise<Begun> {
  const { signal, firstBy } = clock
  try {
    const rest = tidy(await ask(signal))
    return { first: await rest.next(), rest }
  } catch (error) {
    signal.throwIfAborted()
    if (!mayPass(error) || retries === 0) throw error
    // Not before the provider says, and not all at once.
    const pause = (error.retryAfter ?? 250 * 2 ** (RETRIES - retries)) + Math.random() * 250
    if (Date.now() + pause >= firstBy) throw error
    await sleep(pause, undefined, { signal, ref: false })
    return await begin(ask, clock, retries - 1)
  }
}

/** A wrong key, a busy minute or a strange answer is no sign that the provider is down. */
function isTheProviders (error: unknown) {
  return isFailure(error) && ['BOT_UNREACHABLE', 'BOT_SILENT', 'BOT_BROKE_OFF'].includes(error.failure)
}

/** What is awaited may be another call's attempt to see whether the provider is back. */
async function unlessAborted<T> (work: Promise<T>, signal: AbortSignal) {
  const aborted = new Promise<void>(resolve => { signal.addEventListener('abort', () => { resolve() }, { once: true }) })
  return await Promise.race([work, aborted.then((): never => { throw signal.reason })])
}
