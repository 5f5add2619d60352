import { createConversation, type LiveConversation } from './conversation.ts'
import { createConversations } from './conversations.ts'
import { isSignedOut, ParleyError } from './errors.ts'
import { createHttp, type HttpOptions } from './http.ts'
import { createKeptMessages, type MessageStorage } from './kept-messages.ts'
import type { Input, MethodOf, Output } from './routes.ts'
import type { NewConversation, Profile } from './shapes.ts'
import type { paths } from './types.ts'

export interface ClientOptions extends HttpOptions {
  /**
   * How `signIn` keeps the session: in a cookie of the browser, or as a token in memory. Default: a cookie in browsers, a token
   * elsewhere, because `fetch` stores no cookies there.
   */
  session?: 'cookie' | 'token' | undefined
  /**
   * Where unsent messages are kept, for example `sessionStorage`. After a reload of the page, they are sent when `me` finds the
   * same user, or when their conversation is followed or used. Left out: in memory. Two pages must not share a storage.
   */
  storage?: MessageStorage | undefined
}

export type ParleyClient = ReturnType<typeof createClient>

/** Creates a client for one user. It sends no request yet. */
export function createClient ({ session = 'document' in globalThis ? 'cookie' : 'token', storage, ...options }: ClientOptions = {}) {
  const http = createHttp(options)
  const open = new Map<number, LiveConversation>()
  const conversations = createConversations(http)
  const kept = createKeptMessages(storage)
  /** Who is signed in, as the server has said last: null for a guest. */
  let signedIn: number | null | undefined

  /**
   * Returns the signed-in user's profile; null if nobody is signed in, or a guest. Discards data of another user, also if a guest
   * follows a user. Sends what the same user left unsent on an earlier page. @throws ParleyError
   */
  async function me (): Promise<Profile | null> {
    try {
      const { data } = await http.call<Profile>('GET', '/api/me')
      const before = kept.user
      if (before !== undefined && before !== data.id) reset()
      kept.user = signedIn = data.id
      // The user may not open these conversations again, and sees their messages nowhere else.
      if (before === data.id) for (const id of kept.conversations) client.conversation(id).resume()
      return data
    } catch (caught) {
      const error = caught as ParleyError
      if (isSignedOut(error)) {
        signedIn = undefined
        return null
      }
      if (error.code !== 'NOT_FOR_GUESTS') throw error
      // A guest is another user. Guests are not told apart, so their own data stays.
      if (kept.user !== undefined) forget()
      signedIn = null
      return null
    }
  }

  /**
   * Makes sure that the cookie, or the token that a function gives, is of the user who wrote the unsent messages: in another tab, another
   * user may have signed in since. A message that was written just now is sent without asking, if the user is known. @throws ParleyError
   */
  async function checkAuthor (isNew: boolean, signal: AbortSignal) {
    const isKnown = signedIn === (kept.user ?? null)
    if (!http.mayChangeUser() || (isNew && isKnown)) return
    const id = await http.call<Profile>('GET', '/api/me', { signal }).then(({ data }) => data.id, (error: ParleyError) => {
      if (error.code !== 'NOT_FOR_GUESTS') throw error
      return null
    })
    // `onSignOut` may call `reconnect`, which leads to this place again.
    const isNews = signedIn !== id
    signedIn = id
    if (kept.user !== undefined && kept.user !== id) throw http.signedOut('Another user has signed in', { isNews })
    kept.user = id ?? undefined
  }

  /** Forgets who was signed in, and discards all that is theirs. */
  function forget () {
    kept.user = signedIn = undefined
    reset()
  }

  /** Discards all loaded data and unsent messages. */
  function reset () {
    conversations.reset()
    kept.clear()
    for (const conversation of open.values()) conversation.reset()
  }

  const client = {
    /**
     * Signs in. Streams and unsent messages that waited for a sign-in continue, unless the user may be another one than before: then
     * all loaded data and unsent messages are discarded first. @throws ParleyError
     */
    async signIn ({ username, password }: { username: string, password: string }): Promise<Profile> {
      if (session === 'cookie') {
        await http.call('POST', '/api/login', { body: { username, password } })
      } else {
        const { data } = await http.call<{ access_token: string }>('POST', '/login', { body: { id: username, passcode: password } })
        http.setToken(data.access_token)
      }
      const before = kept.user
      const profile = await me()
      if (profile === null) throw new ParleyError({ code: 'COOKIE_DROPPED', error: 'The browser has dropped the session cookie: it may be blocked for this site' })
      if (before === undefined) reset()
      http.waker.wake()
      return profile
    },

    /** Signs out, and discards all loaded data and unsent messages. @throws ParleyError */
    async signOut () {
      await http.call('POST', '/api/logout')
      if (session === 'token') http.setToken(undefined)
      forget()
    },

    me,

    /** Creates a conversation, or returns the one that has this `client_id` already. @throws ParleyError */
    async create (conversation: NewConversation = {}): Promise<LiveConversation> {
      const { data } = await http.call<{ id: number }>('POST', '/api/conversations', { body: conversation })
      return client.conversation(data.id)
    },

    /** Returns a conversation by its id. The same id gives the same object, so that all parts of a program share one connection. */
    conversation (id: number): LiveConversation {
      const conversation = open.get(id) ?? createConversation(http, id, kept, checkAuthor)
      open.set(id, conversation)
      return conversation
    },

    /** The user's conversations. */
    conversations,

    /** Retries all waiting or failed streams and all waiting messages at once. Call it when a token is valid again. */
    reconnect: http.waker.wake,

    /** Calls any route of the API, with its types: `request('get', '/api/conversations/{id}/users', { path: { id } })`. @throws ParleyError */
    async request<Path extends keyof paths, Method extends MethodOf<Path>> (method: Method, path: Path, ...[input]: Arguments<Input<paths[Path][Method]>>): Promise<Output<paths[Path][Method]>> {
      const { path: parameters = {}, ...details } = (input ?? {}) as { path?: Record<string, unknown>, query?: object, body?: unknown, signal?: AbortSignal }
      const address = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(parameters[name])))
      return (await http.call<Output<paths[Path][Method]>>(method.toUpperCase(), address, details)).data
    },

    /** Closes all connections, and discards unsent messages. */
    close () {
      conversations.close()
      for (const conversation of open.values()) conversation.close()
      open.clear()
    }
  }
  return client
}

/** The input may be left out if nothing in it is required. */
type Arguments<T> = object extends T ? [input?: T] : [input: T]
