import { MutationCache, QueryCache, QueryClient, useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { api, ask, askForPage, isRefusal } from './client.ts'
import { useNews } from './news.ts'
import type { Profile } from './shapes.ts'
import { withNews } from '../../../client/with-news.ts'

// Reads of the API, cached and shared between components by TanStack Query.

/** Shows the sign-in screen when a request is refused because the session has ended. */
const noticeSignOut = (error: unknown) => {
  if (isRefusal(error) && error.code === 'UNAUTHORIZED') forgetUser()
}

export const queries = new QueryClient({
  queryCache: new QueryCache({ onError: noticeSignOut }),
  mutationCache: new MutationCache({ onError: noticeSignOut }),
  defaultOptions: {
    // Retry when the connection was lost, but not when the server refused: it would refuse again.
    queries: { staleTime: 5_000, retry: (failures, error) => failures < 2 && isRefusal(error) && error.code === 'UNREACHABLE' },
    mutations: { networkMode: 'always' }
  }
})

/** Forgets the user and everything that was loaded for them, which shows the sign-in screen. */
export function forgetUser () {
  if (!queries.getQueryData<Profile | null>(['me'])) return
  queries.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'me' && queryKey[0] !== 'settings' })
  queries.setQueryData(['me'], null)
  queries.setQueryData(['was signed out'], true)
}

/** The signed-in user's profile; null if nobody is signed in. */
export function useMe () {
  return useQuery({
    queryKey: ['me'],
    staleTime: Infinity,
    refetchOnWindowFocus: 'always', // the link in the confirmation email opens in another tab
    async queryFn () {
      return await ask(api.GET('/api/me')).catch(error => {
        if (isRefusal(error) && ['UNAUTHORIZED', 'NOT_FOR_GUESTS'].includes(error.code)) return null
        throw error
      })
    }
  })
}

/** How users can sign in and sign up here. */
export function useSettings () {
  return useQuery({ queryKey: ['settings'], staleTime: Infinity, queryFn: async () => await ask(api.GET('/api/settings')) })
}

/** The user's conversations, last used first, each with its newest message, in pages. They are kept current by the news. */
export function useConversations () {
  const news = useNews()
  return useInfiniteQuery({
    queryKey: ['conversations'],
    initialPageParam: undefined as string | undefined,
    queryFn: async ({ pageParam: cursor }) =>
      await askForPage(api.GET('/api/conversations', { params: { query: { limit: 30, messages: 1, cursor } } })),
    getNextPageParam: ({ next }) => next?.get('cursor') ?? undefined,
    select: ({ pages }) => withNews([...new Map(pages.flatMap(({ data }) => data).map(conversation => [conversation.id, conversation])).values()], news, pages.at(-1)?.next === undefined)
  })
}

export const refreshConversations = () => queries.invalidateQueries({ queryKey: ['conversations'] })

export function useConversation (id: number) {
  return useQuery({
    queryKey: ['conversation', id],
    queryFn: async () => await ask(api.GET('/api/conversations/{id}', { params: { path: { id }, query: { messages: 0 } } }))
  })
}

/** All members of a conversation: at most 100 users and 8 bots. */
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
