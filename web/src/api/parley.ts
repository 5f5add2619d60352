import { createClient } from 'parley'
import { forgetUser } from './cache.ts'

/** The address of the API: empty, which means the page's own origin, unless the page was built for another one. */
export const API_URL: string = import.meta.env['VITE_API_URL'] ?? ''

/** The client of the server. When the server says that the session has ended, the page shows the sign-in screen. */
export const parley = createClient({
  url: API_URL,
  // Loaded when a user is signed in, to keep the first screen small.
  listen: async listening => await (await import('./socket.ts')).listen(listening),
  onSignOut: forgetUser
})
