import { setTimeout as sleep } from 'node:timers/promises'
import { BrokenCircuitError, circuitBreaker, ConsecutiveBreaker, handleWhen, type CircuitBreakerPolicy, type IBreaker } from 'cockatiel'
import { LRUCache } from 'lru-cache'
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

/** For how many users of a provider we remember that their replies failed. */
const MAX_REMEMBERED_USERS = 10_000

/** The circuit breakers of one provider: one for all users, and one for each user. */
interface Breakers { all: CircuitBreakerPolicy, each: LRUCache<number, CircuitBreakerPolicy>, failedFor: Set<number> }

interface Begun { first: IteratorResult<ReplyPiece, void>, rest: AsyncGenerator<ReplyPiece, void> }

/** Calls providers, with timeouts, retries, and circuit breakers for each provider's address. */
export function createCall (config: CallConfig) {
  const limits: Limits = {
    firstToken: config.BOT_TIMEOUT_FIRST * 1000,
    silence: config.BOT_TIMEOUT_SILENCE * 1000,
    whole: config.BOT_TIMEOUT * 1000
  }
  const breakers = new Map<string, Breakers>()

  /**
   * Gives the pieces of one reply. A temporary failure before the first token is retried. A provider that has failed several
   * times in a row for one user gets no requests of this user for a while (circuit breaker), and no requests at all once it has failed
   * for as many users in a row: a message that only its author's reply fails on, or is slow for, must not pause the bot for everybody.
   * `user` is 0 for a server that asks for nobody. Reasoning counts as tokens for the timeouts. Ends without an
   * error when `stopped` aborts.
   * @throws failures only
   */
  return async function * call (address: string, ask: Ask, stopped: AbortSignal, user = 0): AsyncGenerator<ReplyPiece, void> {
    if (stopped.aborted) return
    const clock = createClock(limits, stopped)
    try {
      const { first, rest } = await unlessAborted(guarded(address, user, () => begin(ask, clock)), clock.signal)
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

  async function guarded (address: string, user: number, work: () => Promise<Begun>): Promise<Begun> {
    const { all, each, failedFor } = breakersOf(address)
    const own = each.get(user) ?? breakerWith(new ConsecutiveBreaker(config.BOT_BREAKER_FAILURES))
    each.set(user, own)
    return await own.execute(() => all.execute(() => work().catch((error: unknown) => {
      if (isTheProviders(error)) failedFor.add(user)
      throw error
    })))
  }

  function breakersOf (address: string): Breakers {
    const known = breakers.get(address)
    if (known !== undefined) return known
    const failedFor = new Set<number>()
    const all = breakerWith({
      state: undefined,
      success: () => { failedFor.clear() },
      failure: () => failedFor.size >= config.BOT_BREAKER_FAILURES
    })
    const made = { all, failedFor, each: new LRUCache<number, CircuitBreakerPolicy>({ max: MAX_REMEMBERED_USERS }) }
    breakers.set(address, made)
    return made
  }

  function breakerWith (breaker: IBreaker) {
    return circuitBreaker(handleWhen(isTheProviders), { breaker, halfOpenAfter: config.BOT_BREAKER_PAUSE * 1000 })
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
    if (performance.now() + pause >= firstBy) throw error
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
