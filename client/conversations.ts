import type { ServerEvent } from './events.ts'
import type { Http } from './http.ts'
import { createLive, type LiveState } from './live.ts'
import type { Conversation, Message } from './shapes.ts'
import { withNews, type NewsById } from './with-news.ts'

const PAGE_SIZE = 30

/** A conversation in the list. */
export interface ListedConversation extends Omit<Conversation, 'messages'> {
  /** The newest message; undefined if there is none. */
  newest: Message | undefined
  /** The number of users in it. Left out until something happens in it after the list was loaded. */
  members?: number
}

export interface ConversationsState extends LiveState {
  /** Last used first. `unread` counts messages of others that the user has not read, up to 99. */
  conversations: ListedConversation[]
  isLoaded: boolean
  /** Whether the server has more. `more()` loads them. */
  hasMore: boolean
}

interface News extends Omit<Conversation, 'messages'> { newest: Message | null, last_rev: number, read_rev: number, members: number }

export type LiveConversations = ReturnType<typeof createConversations>

/** The user's conversations, kept current while the list has followers. */
export function createConversations (http: Http) {
  let list: ListedConversation[] = []
  let news: NewsById<ListedConversation> = {}
  let nextPage: URLSearchParams | undefined
  let cursor: string | undefined
  let loading: Promise<void> | undefined
  let closing = new AbortController()
  let isLoaded = false

  const live = createLive<ConversationsState>({
    http,
    initial: { conversations: [], isLoaded: false, hasMore: false, connection: 'closed', error: undefined },
    begin: async () => ({ after: cursor }),
    async hear (events, signal) {
      for (const event of events) await take(event, signal)
      show()
    }
  })

  async function take ({ event, id, data }: ServerEvent, signal: AbortSignal) {
    if (event === 'conversation') {
      const { newest, last_rev, read_rev, ...conversation } = data as News
      news[conversation.id] = { ...conversation, newest: newest ?? undefined }
    } else if (event === 'gone') {
      news[(data as { id: number }).id] = null
    } else if (event === 'ready' && (data as { reset: boolean }).reset) {
      // News since the last cursor are not available. Load the list again, after this event, so that no change is missed in between.
      await reload(signal)
    }
    cursor = id ?? cursor
  }

  function show () {
    live.set({ conversations: withNews(list, news, nextPage === undefined), isLoaded, hasMore: nextPage !== undefined })
  }

  async function readPage (query: object, signal: AbortSignal) {
    const { data, next } = await http.call<Conversation[]>('GET', '/api/conversations', { query, signal })
    signal.throwIfAborted()
    return { page: data.map(({ messages, ...conversation }) => ({ ...conversation, newest: messages.at(-1) })), next }
  }

  /** Loads the list again, with as many pages as before. The new list is shown when it is complete. */
  async function reload (signal: AbortSignal) {
    let { page: anew, next } = await readPage({ limit: PAGE_SIZE, messages: 1 }, signal)
    while (next !== undefined && anew.length < list.length) {
      const read = await readPage(Object.fromEntries(next), signal)
      anew = joined(anew, read.page)
      next = read.next
    }
    list = anew
    nextPage = next
    news = {}
    isLoaded = true
  }

  async function readMore (signal: AbortSignal) {
    const asked = nextPage!
    const { page, next } = await readPage(Object.fromEntries(asked), signal)
    // The list was read anew meanwhile, and may end before this page begins.
    if (nextPage !== asked) return
    list = joined(list, page)
    nextPage = next
  }

  return {
    get state () { return live.state },
    follow: live.follow,

    /**
     * Returns the current state of a conversation that is loaded, or that has changed since the list was loaded; undefined for
     * any other one.
     */
    find (id: number): ListedConversation | undefined {
      return (news[id] === undefined ? list.find(listed => listed.id === id) : news[id]) ?? undefined
    },

    /** Loads the next page. @throws ParleyError */
    async more () {
      if (nextPage === undefined) return
      loading ??= readMore(closing.signal).then(show).finally(() => { loading = undefined })
      await loading
    },

    /** Discards the loaded state. Followers stay, and for them the state is loaded again. */
    reset () {
      closing.abort()
      closing = new AbortController()
      loading = undefined
      list = []
      news = {}
      nextPage = cursor = undefined
      isLoaded = false
      live.reset()
    },

    /** Closes the connection. */
    close: live.end
  }
}

/** Adds a page to a list. A conversation that was used meanwhile may be in both. */
function joined (list: ListedConversation[], page: ListedConversation[]) {
  const known = new Set(list.map(({ id }) => id))
  return [...list, ...page.filter(({ id }) => !known.has(id))]
}
