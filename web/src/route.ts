import { useSyncExternalStore } from 'react'

/**
 * Where one is stands behind the #, which no server sees: a link in a mail gives its token to nobody, and no address of
 * the page can ever be one of the API.
 */
export type Route =
  | { at: 'home' } | { at: 'new' } | { at: 'account' } | { at: 'forgot' }
  | { at: 'conversation', id: number }
  | { at: 'reset-password' | 'verify-email', token: string }

export function useRoute (): Route {
  return read(useSyncExternalStore(listen, () => window.location.hash))
}

export const pathTo = {
  home: '#/',
  new: '#/new',
  account: '#/account',
  forgot: '#/forgot',
  conversation: (id: number) => `#/c/${id}`
}

/** `replaces`: going back does not lead here again, as to a link that is used up. */
export function go (path: string, { replaces = false } = {}) {
  if (replaces) window.location.replace(path)
  else window.location.hash = path
}

function read (hash: string): Route {
  const [, purpose, token] = /^#(reset-password|verify-email)=(.+)$/.exec(hash) ?? []
  if (purpose !== undefined) return { at: purpose as 'reset-password' | 'verify-email', token: token! }
  const [, id] = /^#\/c\/(\d{1,15})$/.exec(hash) ?? []
  if (id !== undefined) return { at: 'conversation', id: Number(id) }
  const [, at] = /^#\/(new|account|forgot)$/.exec(hash) ?? []
  return { at: at as 'new' | 'account' | 'forgot' | undefined ?? 'home' }
}

function listen (changed: () => void) {
  window.addEventListener('hashchange', changed)
  return () => window.removeEventListener('hashchange', changed)
}
