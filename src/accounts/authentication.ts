import fp from 'fastify-plugin'
import jwt from '@fastify/jwt'
import '@fastify/cookie'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Config } from '../config.js'
import { UNAUTHORIZED } from '../errors.js'
import { LIFETIME, type SessionKind, type SessionUser, type Sessions } from './sessions.js'

declare module '@fastify/jwt' {
  interface FastifyJWT { payload: { sid: number }, user: SessionUser }
}

declare module 'fastify' {
  interface FastifyInstance {
    /** An `onRequest` hook for scopes that are for users: `request.user`, or UNAUTHORIZED. */
    authenticate: (request: FastifyRequest) => Promise<void>
  }
  interface FastifyReply {
    /** Begins a session, and sends its token as cookie. */
    logIn: (userId: number) => Promise<void>
    /** Ends the sessions of this request, that of its cookie and that of its Bearer token, and clears the cookie. */
    logOut: () => Promise<void>
  }
}

const ISSUER = 'parley'
const AUDIENCE = 'session'

export interface AuthenticationOptions { sessions: Sessions, secret: string, cookie: ReturnType<typeof sessionCookie> }

/** A token names a row in `sessions`, which decides. It comes as Bearer, or in the cookie. */
export const authentication = fp<AuthenticationOptions>(async function authentication (app, { sessions, secret, cookie }) {
  await app.register(jwt, {
    secret,
    cookie: { cookieName: cookie.name, signed: false },
    sign: { algorithm: 'HS256', iss: ISSUER, aud: AUDIENCE },
    verify: { algorithms: ['HS256'], allowedIss: ISSUER, allowedAud: AUDIENCE, requiredClaims: ['exp', 'sid'] }
  })

  app.decorate('authenticate', async request => {
    const user = await userOf(request)
    if (user === undefined) throw new UNAUTHORIZED()
    request.user = user
  })

  app.decorateReply('logIn', async function logIn (this: FastifyReply, userId: number) {
    this.setCookie(cookie.name, await openSession(this.request, userId, 'cookie'), { ...cookie.options, maxAge: LIFETIME.cookie })
  })

  app.decorateReply('logOut', async function logOut (this: FastifyReply) {
    for (const user of [await userOf(this.request), await userOf(this.request, true)]) {
      if (user !== undefined) await sessions.end(user.sessionId)
    }
    this.clearCookie(cookie.name, cookie.options)
  })

  async function openSession (request: FastifyRequest, userId: number, kind: SessionKind) {
    const sid = await sessions.open({ userId, kind, userAgent: request.headers['user-agent'], ip: request.ip })
    return app.jwt.sign({ sid }, { expiresIn: LIFETIME[kind] })
  }

  async function userOf (request: FastifyRequest, onlyCookie = false) {
    const token = await request.jwtVerify<{ sid: number }>({ onlyCookie }).catch(notAToken)
    return token && await sessions.userOf(token.sid)
  }
})

/** Whatever is wrong with a token (none, expired, forged, for another purpose), it is worth nothing. */
function notAToken () {
  return undefined
}

/** The cookie that carries a session; `__Host-` and Secure where browsers reach us by https. */
export function sessionCookie ({ PUBLIC_URL }: Pick<Config, 'PUBLIC_URL'>) {
  const secure = PUBLIC_URL?.startsWith('https:') ?? false
  return {
    name: secure ? '__Host-session' : 'session',
    options: { httpOnly: true, sameSite: 'lax' as const, path: '/', secure }
  }
}
