import { hkdfSync } from 'node:crypto'
import { jwtVerify, SignJWT } from 'jose'
import type { FastifyReply, FastifyRequest } from 'fastify'
import '@fastify/cookie'
import { SIGN_IN_EXPIRED } from '../../errors.ts'
import type { SignInSecrets } from './provider.ts'

/** How long a user may take at the provider, for example to find their second factor. */
const LIFETIME_SECONDS = 10 * 60

/** How many sign-ins one browser may have under way, such as in several tabs. Each has a cookie of half a KiB, which every request carries. */
const MAX_PENDING = 4

/** A sign-in that has begun, and the place of the page at which it is to end, such as #/c/7. */
export interface PendingSignIn extends SignInSecrets { returnTo: string }

/**
 * Sign-ins that have begun are kept by the browser, in a signed cookie for each. The cookie proves that the browser that comes back
 * from the provider is the one that left: otherwise a stranger could send a victim an address that signs the victim in as the stranger.
 * With https the prefix `__Host-` keeps other hosts of the same domain from setting such a cookie.
 * @param secret signs the cookies, with a key of their own
 */
export function createPendingSignIns (secret: string, isHttps: boolean) {
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'pending sign-ins', 32))
  const prefix = `${isHttps ? '__Host-' : ''}oidc-`
  // Lax: the browser comes back from another site, and must bring the cookie along.
  const options = { httpOnly: true, sameSite: 'lax' as const, path: '/', secure: isHttps }
  const nameOf = (state: string) => `${prefix}${state.slice(0, 16)}`

  return {
    /** Gives the browser a sign-in to keep. The oldest ones are removed when it has too many. */
    async keep (request: FastifyRequest, reply: FastifyReply, { state, nonce, verifier, returnTo }: PendingSignIn) {
      // Browsers send the oldest cookie first, see RFC 6265, section 5.4.
      const others = Object.keys(request.cookies).filter(name => name.startsWith(prefix))
      for (const name of others.slice(0, Math.max(0, others.length - MAX_PENDING + 1))) reply.clearCookie(name, options)
      const value = await new SignJWT({ state, nonce, verifier, returnTo }).setProtectedHeader({ alg: 'HS256' }).setExpirationTime(`${LIFETIME_SECONDS}s`).sign(key)
      reply.setCookie(nameOf(state), value, { ...options, maxAge: LIFETIME_SECONDS })
    },

    /** Takes the sign-in with this state back from the browser, which forgets it. @throws SIGN_IN_EXPIRED if it has none, or not any more */
    async take (request: FastifyRequest, reply: FastifyReply, state: string): Promise<PendingSignIn> {
      const value = request.cookies[nameOf(state)]
      if (value === undefined) throw new SIGN_IN_EXPIRED()
      reply.clearCookie(nameOf(state), options)
      const { payload } = await jwtVerify<PendingSignIn>(value, key, { algorithms: ['HS256'], requiredClaims: ['exp'] }).catch(() => { throw new SIGN_IN_EXPIRED() })
      if (payload.state !== state) throw new SIGN_IN_EXPIRED()
      return payload
    }
  }
}
