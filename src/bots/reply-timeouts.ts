import { failure } from './bot.ts'

/** How long a reply may take, in milliseconds. */
export interface Limits { firstToken: number, silence: number, whole: number }

/**
 * Timeouts of one reply. Its signal aborts when `stopped` does, or when a limit has passed, with a failure as the reason.
 * Only the time that the provider makes us wait counts as silence, not the time that a slow reader takes.
 */
export function createClock ({ firstToken, silence, whole }: Limits, stopped: AbortSignal) {
  const over = new AbortController()
  const endIn = (limit: number, what: string) =>
    setTimeout(() => { over.abort(failure('BOT_SILENT', new Error(`${what} took longer than ${limit / 1000} s`))) }, limit).unref()

  const stop = () => { over.abort(stopped.reason) }
  stopped.addEventListener('abort', stop, { once: true })
  const timers = [endIn(firstToken, 'The first token'), endIn(whole, 'The whole reply')]

  return {
    signal: over.signal,
    /** When the first token must have arrived, by `performance.now()`. */
    firstBy: performance.now() + firstToken,
    /** Call it when the first token has arrived. */
    begins () { clearTimeout(timers[0]) },
    async wait<T> (next: Promise<T>) {
      const timer = endIn(silence, 'The next token')
      try {
        return await next
      } finally {
        clearTimeout(timer)
      }
    },
    /** Also aborts the signal, so that the connection to the provider is closed. */
    end () {
      timers.forEach(clearTimeout)
      stopped.removeEventListener('abort', stop)
      over.abort()
    }
  }
}
