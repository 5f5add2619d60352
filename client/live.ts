import { callListener, isPassing, isSignedOut, type ParleyError } from './errors.ts'
import type { ServerEvent } from './events.ts'
import type { Http, Place } from './http.ts'
import { delayAfter } from './waiting.ts'

/**
 * - `closed`: nobody follows
 * - `connecting`: for the first time, or after `closed`
 * - `live`: changes arrive as they happen
 * - `waiting`: the connection was lost, and is tried again by itself
 * - `signed-out`: tried again after the next sign-in
 * - `failed`: the server has refused; tried again by `reconnect()`
 */
export type Connection = 'closed' | 'connecting' | 'live' | 'waiting' | 'signed-out' | 'failed'

export interface LiveState {
  connection: Connection
  /** Why it is not live. */
  error: ParleyError | undefined
}

/** A connection that was open for this long counts as a success, in milliseconds: the delays before the next attempts are short again. */
const SETTLED_MS = 10_000

interface Source<State> {
  http: Http
  initial: State
  /** Loads the current state. Returns the position from which to listen. @throws ParleyError */
  begin: (signal: AbortSignal) => Promise<Place>
  /** Applies events. If it throws, the connection is closed and opened again. */
  hear: (events: ServerEvent[], signal: AbortSignal) => void | Promise<void>
}

/** A state that is kept current by events while it has followers. */
export function createLive<State extends LiveState> ({ http, initial, begin, hear }: Source<State>) {
  let state = initial
  let running: AbortController | undefined
  const listeners = new Set<() => void>()

  function set (changes: Partial<State>) {
    state = { ...state, ...changes }
    for (const tell of [...listeners]) if (listeners.has(tell)) tell()
  }

  const show = (connection: Connection, error?: ParleyError) => set({ connection, error } as Partial<State>)

  async function run (signal: AbortSignal) {
    show('connecting')
    for (let failures = 0; ;) {
      let openedAt = Infinity
      const error = await connect(opened, signal)
      if (signal.aborted) return
      if (performance.now() - openedAt >= SETTLED_MS) failures = 0
      const willRetry = error === undefined || isPassing(error)
      show(willRetry ? 'waiting' : isSignedOut(error) ? 'signed-out' : 'failed', error)
      await http.waker.wait(willRetry ? delayAfter(failures++, error?.retryAfter) : Infinity, signal)
      if (signal.aborted) return

      function opened () {
        if (signal.aborted) return
        openedAt = performance.now()
        show('live')
        // The server can be reached again, so end all other waits, too.
        if (failures > 0) http.waker.wake()
      }
    }
  }

  /** Listens until the connection ends. Returns why, if it did not end normally. */
  async function connect (opened: () => void, signal: AbortSignal): Promise<ParleyError | undefined> {
    try {
      const place = await begin(signal)
      await http.listen({ ...place, signal, opened, hear: events => hear(events, signal) })
    } catch (error) {
      return error as ParleyError
    }
  }

  function close () {
    running?.abort()
    running = undefined
    show('closed')
  }

  return {
    get state () { return state },
    set,

    /**
     * Calls `listener` with the state, now and after each change, and keeps the state current. Returns a function that ends this.
     * The connection is closed when the last follower has left.
     */
    follow (listener: (state: State) => void) {
      const tell = () => callListener(() => listener(state))
      listeners.add(tell)
      if (running === undefined) run((running = new AbortController()).signal)
      else tell()
      return function unfollow () {
        listeners.delete(tell)
        // Frameworks end an effect and begin it again at once.
        queueMicrotask(() => { if (listeners.size === 0 && running !== undefined) close() })
      }
    },

    /** Forgets the state. For those who follow, it begins anew. */
    reset () {
      running?.abort()
      running = undefined
      set(initial)
      if (listeners.size > 0) run((running = new AbortController()).signal)
    },

    /** Ends it for everybody. */
    end () {
      listeners.clear()
      close()
    }
  }
}
