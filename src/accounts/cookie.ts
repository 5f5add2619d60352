import type { Config } from '../config.js'

/** The cookie that carries a session; `__Host-` and Secure where browsers reach us by https. */
export function sessionCookie ({ PUBLIC_URL }: Pick<Config, 'PUBLIC_URL'>) {
  const secure = PUBLIC_URL?.startsWith('https:') ?? false
  return {
    name: secure ? '__Host-session' : 'session',
    options: { httpOnly: true, sameSite: 'lax' as const, path: '/', secure }
  }
}
