/** The longest time between two attempts, in milliseconds, and the longest one after the first failure. */
const MAX_DELAY_MS = 10_000
const FIRST_DELAY_MS = 500

/**
 * How long to wait after this many failures, in milliseconds. It is random, so that the clients of a server that was away do
 * not all come back at the same moment. `seconds` is the server's `Retry-After`.
 */
export function delayAfter (failures: number, seconds = 0): number {
  return seconds * 1000 + Math.random() * Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** failures)
}

export type Waker = ReturnType<typeof createWaker>

/** The global object of a browser, which gets an event when the browser is online again. */
const page = globalThis as { addEventListener?: (event: 'online', listener: () => void, options: { signal: AbortSignal }) => void }

/** Waits that can be ended early, all at once. */
export function createWaker () {
  const waiting = new Set<() => void>()

  return {
    wake () {
      for (const end of [...waiting]) end()
    },

    /**
     * Resolves after `ms`, or before: when `wake` is called, the signal aborts from now on, or the browser is online again. What waits
     * for a sign-in (`ms` is infinite) must not go on when the browser is online: in another tab, another user may have signed in.
     */
    async wait (ms: number, signal: AbortSignal) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const end = () => resolve()
      const over = new AbortController()
      const timer = ms === Infinity ? undefined : setTimeout(end, ms)
      waiting.add(end)
      signal.addEventListener('abort', end, { signal: over.signal })
      if (ms !== Infinity) page.addEventListener?.('online', end, { signal: over.signal })
      await promise
      clearTimeout(timer)
      waiting.delete(end)
      over.abort()
    }
  }
}

/** The longest time that timers can wait, in milliseconds: 25 days. They take a longer one, and `Infinity`, for none at all. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** A signal that aborts when `outer` does, and `ms` after the last `restart`. */
export function createDeadline (ms: number, outer?: AbortSignal | undefined) {
  const controller = new AbortController()
  let timer: ReturnType<typeof setTimeout>
  const abort = () => controller.abort(outer!.reason)
  outer?.addEventListener('abort', abort)
  if (outer?.aborted) abort()
  restart()

  function restart () {
    clearTimeout(timer)
    timer = setTimeout(() => controller.abort(new DOMException('No answer arrived in time', 'TimeoutError')), Math.min(ms, MAX_TIMER_MS))
  }

  return {
    signal: controller.signal,
    restart,
    /** Stops the timer, and aborts the request if it is still running. */
    end () {
      clearTimeout(timer)
      outer?.removeEventListener('abort', abort)
      controller.abort()
    }
  }
}
