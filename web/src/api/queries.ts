import { useQuery } from '@tanstack/react-query'
import { queries } from './cache.ts'
import { parley } from './parley.ts'

// What is read from the API once, for components. What is live comes from the hooks of `parley/react`.

/** The signed-in user's profile; null if nobody is signed in. */
export function useMe () {
  return useQuery({
    queryKey: ['me'],
    staleTime: Infinity,
    refetchOnWindowFocus: 'always', // the link in the confirmation email opens in another tab
    async queryFn () {
      const wasOut = queries.getQueryData(['me']) === null
      const me = await parley.me()
      // The user has signed in in another tab: what waits for that goes on here, too.
      if (me !== null && wasOut) parley.reconnect()
      return me
    }
  })
}

/** How users can sign in and sign up here. */
export function useSettings () {
  return useQuery({ queryKey: ['settings'], staleTime: Infinity, queryFn: async () => await parley.request('get', '/api/settings') })
}

/** What the server says of a conversation, which may be older than the list. */
export function useDetails (id: number) {
  return useQuery({
    queryKey: ['conversation', id],
    queryFn: async () => await parley.request('get', '/api/conversations/{id}', { path: { id }, query: { messages: 0 } })
  })
}

/** All members of a conversation: at most 100 users and 8 bots. */
export function useMembers (id: number) {
  return useQuery({
    queryKey: ['members', id],
    async queryFn () {
      const input = { path: { id }, query: { limit: 200 } }
      const [users, bots] = await Promise.all([
        parley.request('get', '/api/conversations/{id}/users', input),
        parley.request('get', '/api/conversations/{id}/bots', input)
      ])
      return { users, bots }
    }
  })
}

export function useBots () {
  return useQuery({
    queryKey: ['bots'],
    staleTime: 60_000,
    queryFn: async () => await parley.request('get', '/api/bots', { query: { limit: 200 } })
  })
}

export function useSessions () {
  return useQuery({
    queryKey: ['sessions'],
    queryFn: async () => await parley.request('get', '/api/me/sessions', { query: { limit: 200 } })
  })
}
