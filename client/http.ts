import { callListener, errorIn, isSignedOut, ParleyError, unreachable } from './errors.ts'
import { readEvents, type ServerEvent } from './events.ts'
import { createDeadline, createWaker } from './waiting.ts'

/** The default of `timeoutMs`. The server sends a comment in every stream every 15 s. */
const TIMEOUT_MS = 40_000

/** What to listen to: a conversation after a rev, or the user's news after a cursor (left out: from now on). */
export type Place = { conversation: number, after: number } | { conversation?: undefined, after?: string | undefined }

export type Listening = Place & {
  /** Aborts when nobody listens any more. */
  signal: AbortSignal
  /** Call it when the server has accepted the subscription. */
  opened: () => void
  /** Call it with events, in their order. If it throws or rejects, close the connection. */
  hear: (events: ServerEvent[]) => void | Promise<void>
}

export interface HttpOptions {
  /** The address of the server. Left out: the page's own origin, or the server that `/client.js` was loaded from. */
  url?: string | undefined
  /**
   * A token for `Authorization: Bearer`, or a function that returns one. The function is called for each request, so it should
   * cache the token, and once more if the server refuses the token. Without a token, the browser's session cookie is sent.
   */
  token?: string | (() => string | undefined | Promise<string | undefined>) | undefined
  /** How long a request may go unanswered, and a stream be silent, before it counts as lost, in milliseconds. Default: 40,000. */
  timeoutMs?: number | undefined
  /** Replaces the global `fetch`. */
  fetch?: typeof globalThis.fetch | undefined
  /**
   * Replaces the event streams, for example by a socket: listens until the connection ends, or throws. The events are those of
   * `GET /api/conversations/{id}/events` and `GET /api/events`. An error that is not a `ParleyError` means that
   * the connection was lost.
   */
  listen?: ((listening: Listening) => Promise<void>) | undefined
  /** Called when the session has ended. Streams and unsent messages then wait for the next sign-in. */
  onSignOut?: (() => void) | undefined
}

export interface Details { query?: object | undefined, body?: unknown, headers?: Record<string, string>, signal?: AbortSignal | undefined }

export interface StreamDetails extends Details {
  /** Called when the server has accepted the request. */
  opened?: () => void
  hear: (events: ServerEvent[]) => void | Promise<void>
}

export type Http = ReturnType<typeof createHttp>

/** Sends requests to the server: with the session cookie or a token, and with a timeout. Errors become `ParleyError`s. */
export function createHttp ({ url = '', token, timeoutMs = TIMEOUT_MS, fetch = globalThis.fetch.bind(globalThis), listen, onSignOut }: HttpOptions) {
  const base = url.replace(/\/$/, '')
  let currentToken = token
  let isOut = false

  /** @throws ParleyError, or the signal's reason */
  async function open (method: string, path: string, details: Details, accept: string, signal: AbortSignal, attempt = 1): Promise<Response> {
    const { query, body, headers } = details
    const bearer = typeof currentToken === 'function' ? await currentToken() : currentToken
    const response = await fetch(`${base}${path}${searchOf(query)}`, {
      method,
      headers: {
        accept,
        ...body !== undefined && { 'content-type': 'application/json' },
        ...bearer !== undefined && { authorization: `Bearer ${bearer}` },
        ...headers
      },
      body: body === undefined ? null : JSON.stringify(body),
      credentials: bearer === undefined ? 'include' : 'omit',
      signal
    })
    if (response.ok) {
      isOut = false
      return response
    }
    const error = await errorIn(response)
    if (isSignedOut(error) && typeof currentToken === 'function' && attempt === 1) return await open(method, path, details, accept, signal, 2)
    notice(error)
    throw error
  }

  function notice (error: ParleyError) {
    if (!isSignedOut(error) || isOut) return
    isOut = true
    callListener(() => onSignOut?.())
  }

  /** Runs `work` with a timeout. Errors of the network and timeouts become `UNREACHABLE`, unless the caller's own signal has aborted. */
  async function within<T> (outer: AbortSignal | undefined, work: (deadline: ReturnType<typeof createDeadline>) => Promise<T>): Promise<T> {
    const deadline = createDeadline(timeoutMs, outer)
    return await work(deadline).catch(error => {
      outer?.throwIfAborted()
      throw error instanceof ParleyError ? error : unreachable(error)
    }).finally(deadline.end)
  }

  /** Reads a stream of events until it ends. @throws ParleyError */
  async function stream (method: string, path: string, { opened, hear, ...details }: StreamDetails) {
    await within(details.signal, async ({ signal, restart }) => {
      const { body } = await open(method, path, details, 'text/event-stream', signal)
      opened?.()
      await readEvents(body!, hear, restart)
    })
  }

  async function listenToStream ({ conversation, after, ...details }: Listening) {
    await stream('GET', conversation === undefined ? '/api/events' : `/api/conversations/${conversation}/events`, { query: { after }, ...details })
  }

  return {
    waker: createWaker(),
    stream,

    /** Listens to a conversation or to the news until the connection ends. @throws ParleyError */
    async listen (listening: Listening) {
      await (listen ?? listenToStream)(listening).catch(caught => {
        const error = caught instanceof ParleyError ? caught : unreachable(caught)
        notice(error)
        throw error
      })
    },

    /** Whether later requests may be those of another user: with a cookie, or a token that a function gives. */
    mayChangeUser: () => typeof currentToken !== 'string',

    /** Returns the error with which requests wait for the next sign-in. `isNews`: `onSignOut` is called. */
    signedOut (sentence: string, { isNews }: { isNews: boolean }) {
      const error = new ParleyError({ code: 'UNAUTHORIZED', error: sentence }, { status: 401 })
      if (isNews) notice(error)
      return error
    },

    setToken (next: string | undefined) {
      currentToken = next
    },

    /** Returns the body, and the query of the next page if the answer is a page of a list. @see RFC 8288 @throws ParleyError */
    async call<T> (method: string, path: string, details: Details = {}): Promise<{ data: T, next: URLSearchParams | undefined }> {
      return await within(details.signal, async ({ signal }) => {
        const response = await open(method, path, details, 'application/json', signal)
        const [, next] = /^<[^?>]*\?([^>]*)>; rel="next"$/.exec(response.headers.get('link') ?? '') ?? []
        return {
          data: (response.status === 204 ? undefined : await response.json()) as T,
          next: next === undefined ? undefined : new URLSearchParams(next)
        }
      })
    }
  }
}

function searchOf (query: object = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined)
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`
}
