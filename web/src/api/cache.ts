import { QueryClient } from '@tanstack/react-query'
import { ParleyError, type Profile } from 'parley'

/** What was read from the API, shared between components by TanStack Query. */
export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // Retry when the connection was lost, but not when the server refused: it would refuse again.
      retry: (failures, error) => failures < 2 && error instanceof ParleyError && error.code === 'UNREACHABLE',
      // A browser without a network reaches a server on the same machine. By default, nothing would be asked, and nothing would fail.
      networkMode: 'always',
      refetchOnReconnect: true
    },
    mutations: { networkMode: 'always' }
  }
})

/** Forgets the user and everything that was loaded for them, which shows the sign-in screen. `isWanted`: the user asked for it. */
export function forgetUser ({ isWanted = false } = {}) {
  if (queries.getQueryData<Profile | null>(['me'])) {
    queries.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'me' && queryKey[0] !== 'settings' })
    queries.setQueryData(['me'], null)
    queries.setQueryData(['was signed out'], true)
  }
  if (isWanted) queries.removeQueries({ queryKey: ['was signed out'] })
}
