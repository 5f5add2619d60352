import { getDomain } from 'tldts'
import type { Config } from '../config.ts'

type CookieConfig = Pick<Config, 'COOKIE_SAMESITE' | 'CORS_ORIGINS' | 'PORT' | 'PUBLIC_URL'>

/**
 * The session cookie. It is Secure, with the prefix `__Host-`, if browsers reach us by https. With SameSite=None it is always
 * Secure, because browsers reject it otherwise.
 */
export function sessionCookie ({ COOKIE_SAMESITE, PUBLIC_URL }: Pick<Config, 'COOKIE_SAMESITE' | 'PUBLIC_URL'>) {
  const isHttps = usesHttps(PUBLIC_URL)
  return {
    name: isHttps ? '__Host-session' : 'session',
    options: { httpOnly: true, sameSite: COOKIE_SAMESITE, path: '/', secure: isHttps || COOKIE_SAMESITE === 'none' }
  }
}

/**
 * Finds settings with which browsers drop the cookie, so that a login seems to succeed and has no effect. Each finding has
 * the level `warn`, or `info` if it may be intended. Front ends in `defaultOrigins` are skipped, because they are only the default.
 */
export function cookieWarnings (config: CookieConfig, defaultOrigins: string): Array<{ level: 'info' | 'warn', sentence: string }> {
  const { COOKIE_SAMESITE, CORS_ORIGINS, PORT, PUBLIC_URL } = config
  if (COOKIE_SAMESITE === 'none' && !usesHttps(PUBLIC_URL)) {
    return [{ level: 'warn', sentence: 'Browsers drop the session cookie: COOKIE_SAMESITE=none makes it Secure, and PUBLIC_URL is not https. Please set PUBLIC_URL to the https address that browsers use, or COOKIE_SAMESITE=lax.' }]
  }
  const ours = PUBLIC_URL === undefined ? ['http://localhost', 'http://127.0.0.1'] : [PUBLIC_URL]
  const strangers = COOKIE_SAMESITE === 'none' || CORS_ORIGINS === defaultOrigins
    ? []
    : CORS_ORIGINS.split(',').map(origin => origin.trim()).filter(origin => !ours.some(url => siteOf(url) === siteOf(origin)))
  return [
    ...strangers.map(origin => ({
      level: 'warn' as const,
      sentence: `Browsers drop the session cookie at ${origin}, which CORS_ORIGINS lists: it is on another site than ${PUBLIC_URL ?? `${ours[0]}:${PORT}`}. Please set COOKIE_SAMESITE=none, with an https PUBLIC_URL.`
    })),
    ...usesHttps(PUBLIC_URL)
      ? [{ level: 'info' as const, sentence: `PUBLIC_URL is https, and the session cookie Secure: browsers that come to port ${PORT} by plain http drop it. Please open ${PUBLIC_URL} there.` }]
      : []
  ]
}

function usesHttps (url: string | undefined) {
  return url?.startsWith('https:') ?? false
}

/**
 * The site of an address as browsers define it: the scheme and the registrable domain.
 * @see https://html.spec.whatwg.org/multipage/browsers.html#sites
 */
function siteOf (url: string) {
  const { protocol, hostname } = new URL(url)
  return `${protocol}//${getDomain(hostname, { allowPrivateDomains: true }) ?? hostname}`
}
