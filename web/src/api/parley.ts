import { createClient } from 'parley'
import { attempt } from '../ui/drafts.ts'
import { forgetUser, queries } from './cache.ts'

/** The address of the API: empty, which means the page's own origin, unless the page was built for another one. */
export const API_URL: string = import.meta.env['VITE_API_URL'] ?? ''

/** The client of the server. */
export const parley = createClient({
  url: API_URL,
  storage: attempt(() => window.sessionStorage),
  // Loaded when a user is signed in, to keep the first screen small.
  listen: async listening => await (await import('./socket.ts')).listen(listening),
  onSignOut: noticeSignOut
})

/**
 * Shows the sign-in screen, unless the session was replaced. Another user may have signed in in another tab: then this page is theirs.
 * With a new password, the old session ends before the browser has the cookie of the new one, and what is asked in between is refused.
 */
async function noticeSignOut () {
  await changesEnd()
  const me = queries.getQueryData(['me']) ? await parley.me().catch(() => null) : null
  if (me === null) return forgetUser()
  queries.setQueryData(['me'], me)
  parley.reconnect()
}

/** Resolves when nothing is being changed. */
async function changesEnd () {
  const { promise, resolve } = Promise.withResolvers<void>()
  const look = () => { if (queries.isMutating() === 0) resolve() }
  const stop = queries.getMutationCache().subscribe(look)
  look()
  await promise.finally(stop)
}
