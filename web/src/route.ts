import { useSyncExternalStore } from 'react'
import { readPhoneNumber } from '../../src/text/phone-number.ts'

/**
 * The screen, as the part of the address after the #. Browsers do not send it to servers, so that the token of a link in
 * an email does not get into logs, and an address of the page can never collide with one of the API.
 */
export type Route =
  | { at: 'home' } | { at: 'new' } | { at: 'account' } | { at: 'forgot' }
  | { at: 'conversation', id: number } | { at: 'no-conversation' }
  | { at: 'phone', phone: string }
  | { at: 'reset-password' | 'verify-email' | 'invite', token: string }
  | { at: 'sign-in-failed', code: string }

export function useRoute (): Route {
  return read(useSyncExternalStore(listen, () => window.location.hash))
}

export const pathTo = {
  home: '#/',
  new: '#/new',
  account: '#/account',
  forgot: '#/forgot',
  conversation: (id: number) => `#/c/${id}`,
  phone: (phone: string) => `#/phone/${encodeURIComponent(phone)}`
}

/** Shows another screen. With `replaces`, the browser's Back button does not lead to the current one again. */
export function go (path: string, { replaces = false } = {}) {
  if (replaces) window.location.replace(path)
  else window.location.hash = path
}

function read (hash: string): Route {
  const [, purpose, token] = /^#(reset-password|verify-email|invite)=(.+)$/.exec(hash) ?? []
  if (purpose !== undefined) return { at: purpose as 'reset-password' | 'verify-email' | 'invite', token: token! }
  const [, code] = /^#sign-in-failed=([A-Z_]+)$/.exec(hash) ?? []
  if (code !== undefined) return { at: 'sign-in-failed', code }
  const [, id] = /^#\/c\/(.+)$/.exec(hash) ?? []
  if (id !== undefined) return /^0*[1-9]\d{0,14}$/.test(id) ? { at: 'conversation', id: Number(id) } : { at: 'no-conversation' }
  const [, phone] = /^#\/phone\/(.{1,200})$/.exec(hash) ?? []
  if (phone !== undefined && isPhone(decoded(phone))) return { at: 'phone', phone: decoded(phone) }
  const [, at] = /^#\/(new|account|forgot)$/.exec(hash) ?? []
  return { at: at as 'new' | 'account' | 'forgot' | undefined ?? 'home' }
}

const isPhone = (text: string) => readPhoneNumber(text).reason === undefined

function decoded (text: string) {
  try {
    return decodeURIComponent(text)
  } catch {
    return '' // somebody has changed the address by hand
  }
}

function listen (changed: () => void) {
  window.addEventListener('hashchange', changed)
  return () => window.removeEventListener('hashchange', changed)
}
