import { MutationCache, QueryCache, QueryClient, useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { api, ask, askForPage, isRefusal } from './client.js'
import type { Profile } from './shapes.js'

// What the server keeps, as the page knows it.

/** How often a list is looked at again that nobody tells us about, in milliseconds. */
const REFRESH = 30_000

/** Whoever asks and is not logged in any more is shown the way in. */
const noticeLogout = (error: unknown) => {
  if (isRefusal(error) && error.code === 'UNAUTHORIZED') forgetUser()
}

export const queries = new QueryClient({
  queryCache: new QueryCache({ onError: noticeLogout }),
  mutationCache: new MutationCache({ onError: noticeLogout }),
  defaultOptions: {
    // A lost connection is tried again; what the server refuses it would refuse again.
    queries: { staleTime: 5_000, retry: (failures, error) => failures < 2 && isRefusal(error) && error.code === 'UNREACHABLE' },
    mutations: { networkMode: 'always' }
  }
})

/** Nobody is logged in any more, and nothing of theirs is kept. */
export function forgetUser () {
  if (!queries.getQueryData<Profile | null>(['me'])) return
  queries.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'me' })
  queries.setQueryData(['me'], null)
  queries.setQueryData(['was logged out'], true)
}

/** Whose page it is; null where nobody is logged in. */
export function useMe () {
  return useQuery({
    queryKey: ['me'],
    staleTime: Infinity,
    async queryFn () {
      return await ask(api.GET('/api/me')).catch(error => {
        if (isRefusal(error) && ['UNAUTHORIZED', 'NOT_FOR_GUESTS'].includes(error.code)) return null
        throw error
      })
    }
  })
}

/** Last used first, each with its newest message; a page more at a time. */
export function useConversations () {
  return useInfiniteQuery({
    queryKey: ['conversations'],
    refetchInterval: REFRESH,
    initialPageParam: undefined as string | undefined,
    queryFn: async ({ pageParam: cursor }) =>
      await askForPage(api.GET('/api/conversations', { params: { query: { limit: 30, messages: 1, cursor } } })),
    getNextPageParam: ({ next }) => next?.get('cursor') ?? undefined,
    select: ({ pages }) => [...new Map(pages.flatMap(({ data }) => data).map(conversation => [conversation.id, conversation])).values()]
  })
}

export const refreshConversations = () => queries.invalidateQueries({ queryKey: ['conversations'] })

export function useConversation (id: number) {
  return useQuery({
    queryKey: ['conversation', id],
    queryFn: async () => await ask(api.GET('/api/conversations/{id}', { params: { path: { id }, query: { messages: 0 } } }))
  })
}

/** Everybody in a conversation: at most 100 users and 8 bots. */
export function useMembers (id: number) {
  return useQuery({
    queryKey: ['members', id],
    async queryFn () {
      const params = { path: { id }, query: { limit: 200 } }
      const [users, bots] = await Promise.all([
        ask(api.GET('/api/conversations/{id}/users', { params })),
        ask(api.GET('/api/conversations/{id}/bots', { params }))
      ])
      return { users, bots }
    }
  })
}

export function useBots () {
  return useQuery({
    queryKey: ['bots'],
    staleTime: 60_000,
    queryFn: async () => await ask(api.GET('/api/bots', { params: { query: { limit: 200 } } }))
  })
}

export function useSessions () {
  return useQuery({
    queryKey: ['sessions'],
    queryFn: async () => await ask(api.GET('/api/me/sessions', { params: { query: { limit: 200 } } }))
  })
}
