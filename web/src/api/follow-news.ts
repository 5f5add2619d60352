import { acknowledged, type LiveSocket, type NewsItem } from './live.ts'
import { NEWS_KEY } from './news.ts'
import { queries, refreshConversations } from './queries.ts'
import type { Conversation } from './shapes.ts'
import type { NewsById } from '../../../client/with-news.ts'

const ACK_TIMEOUT_MS = 15_000
const RETRY_DELAY_MS = 1_000

/** Follows the news over a socket, after a lost connection from where it was. Returns a function that stops. */
export function followNews (socket: LiveSocket) {
  let cursor: string | undefined
  let isClosed = false

  async function join () {
    try {
      const ready = acknowledged(await socket.timeout(ACK_TIMEOUT_MS).emitWithAck('join_news', { after: cursor }))
      begin(ready)
    } catch {
      // If the connection was lost, `connect` comes again.
      if (socket.connected && !isClosed) setTimeout(() => { if (!isClosed) join() }, RETRY_DELAY_MS)
    }
  }

  /** With `reset` the news do not follow on what is known, so the list is loaded again. */
  function begin (ready: { cursor: string, reset: boolean }) {
    cursor = ready.cursor
    if (!ready.reset) return
    queries.setQueryData<NewsById<Conversation>>(NEWS_KEY, {})
    refreshConversations()
  }

  function take (item: NewsItem) {
    cursor = item.cursor ?? cursor
    if (item.event === 'ready') return begin(item.data)
    const { id } = item.data
    if (item.event === 'gone') {
      put(id, null)
      queries.invalidateQueries({ queryKey: ['conversation', id] })
      return
    }
    const { newest, ...conversation } = item.data
    put(id, { ...conversation, messages: newest === null ? [] : [newest] })
    queries.setQueryData<Conversation>(['conversation', id], open => open && { ...open, name: conversation.name })
    const members = queries.getQueryData<{ users: unknown[] }>(['members', id])
    if (members !== undefined && members.users.length !== conversation.members) queries.invalidateQueries({ queryKey: ['members', id] })
  }

  socket.on('connect', join)
  socket.on('news', take)
  if (socket.connected) join()

  return function close () {
    isClosed = true
    socket.off('connect', join).off('news', take)
  }
}

function put (id: number, state: Conversation | null) {
  queries.setQueryData<NewsById<Conversation>>(NEWS_KEY, news => ({ ...news, [id]: state }))
}
