import fp from 'fastify-plugin'
import jwt from '@fastify/jwt'
import '@fastify/cookie'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Config } from '../config.ts'
import { MISSING_SCOPE, NOT_AN_ADMIN, NOT_FOR_GUESTS, PASSWORDS_OFF, UNAUTHORIZED } from '../errors.ts'
import { createAdmissions } from './admissions.ts'
import type { sessionCookie } from './cookie.ts'
import type { Issuers } from './issuers/issuers.ts'
import { hashOf } from './keys/key.ts'
import { isServerKey, type KeyStore, type ServerKey } from './keys/key-store.ts'
import type { KeyScope } from '../enums.ts'
import { MAX_TOKEN_LENGTH } from './schema.ts'
import { SESSION_LIFETIME_SECONDS, type SessionKind, type SessionOptions, type SessionUser, type Sessions } from './sessions.ts'

declare module '@fastify/jwt' {
  interface FastifyJWT { payload: Claims, user: SessionUser }
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route has no use without passwords: with PASSWORDS=off it answers PASSWORDS_OFF. */
    usesPassword?: boolean
    /** A scope with which a server key may act for users here, beside `act`. */
    scope?: KeyScope
  }
  interface FastifyInstance {
    /** An `onRequest` hook for scopes that are for users, guests too: sets `request.user`. @throws UNAUTHORIZED, and what `callerOf` throws */
    authenticate: (request: FastifyRequest) => Promise<void>
    /** An `onRequest` hook that follows `authenticate` in scopes that are not for guests. */
    refuseGuests: (request: FastifyRequest) => Promise<void>
    /** Makes an `onRequest` hook for routes of servers: sets `request.serverKey`, which has one of these scopes. @throws UNAUTHORIZED, MISSING_SCOPE */
    needsKey: (...scopes: KeyScope[]) => (request: FastifyRequest) => Promise<void>
    /**
     * Makes an `onRequest` hook for routes of users that servers may use in their own name, too. A server key without `X-Act-As` sets
     * `request.serverKey`, anything else `request.user`. @throws as `needsKey` and `authenticate`
     */
    authenticateOrNeedKey: (...scopes: KeyScope[]) => (request: FastifyRequest) => Promise<void>
    /** An `onRequest` hook that follows `authenticate` for routes that create keys: a key that leaks must not create others, which would outlast it. */
    refuseKeys: (request: FastifyRequest) => Promise<void>
    /** An `onRequest` hook that follows `authenticate` in scopes that are for admins only. */
    refuseNonAdmins: (request: FastifyRequest) => Promise<void>
    /** The user of a request, by its Bearer token, its cookie, or the server key that acts for them; undefined if nobody is logged in. @throws as `callerOf` */
    identify: (request: FastifyRequest) => Promise<SessionUser | undefined>
    /**
     * Finds the user of a token: one of ours, a personal key or another issuer's. Undefined for an invalid token. `use` is the request that
     * has the token, for the list of sessions.
     * @throws UNAVAILABLE while the keys of its issuer cannot be fetched
     */
    userOf: (token: string | undefined, use: TokenUse) => Promise<SessionUser | undefined>
    /**
     * Like `userOf`, and also takes a server key: then it is the user whom the header `X-Act-As` names.
     * @throws MISSING_SCOPE, USER_NOT_FOUND, ACCOUNT_LOCKED for a server
     */
    callerOf: (token: string | undefined, use: TokenUse & { method: string, route: string, scope?: KeyScope | undefined }) => Promise<SessionUser | undefined>
  }
  interface FastifyRequest {
    /** The key of the server that asks, behind `needsKey` and, for a server, `authenticateOrNeedKey`. */
    serverKey: ServerKey
  }
  interface FastifyReply {
    /** Begins a session of this kind, and gives its token. */
    openSession: (userId: number, kind: SessionKind, options?: SessionOptions) => Promise<string>
    /** Begins a session, sends its token as cookie, and ends the session that the request's cookie held. `provedHash` is that of the password, if one was proved. */
    logIn: (userId: number, provedHash?: string) => Promise<void>
    /** Ends the sessions of this request, that of its cookie and that of its Bearer token, and clears the cookie. */
    logOut: () => Promise<void>
  }
}

/** The claims of a token: the id of its session, and the kind of that session. */
interface Claims { sid: number, kind: SessionKind }

const ISSUER = 'parley'
const AUDIENCE = 'session'

const VERIFY = { algorithms: ['HS256'] as ['HS256'], allowedIss: ISSUER, allowedAud: AUDIENCE, requiredClaims: ['exp', 'iss', 'aud', 'sid', 'kind'] }

/**
 * How many tokens with a valid signature are cached, by their hash, for ten minutes and never beyond their expiry. Whether
 * their session is still valid is checked for each request.
 */
const KNOWN_TOKENS = 5_000

/** The request that has a token, or a socket's handshake. */
interface TokenUse { headers: { 'user-agent'?: string | undefined, 'x-act-as'?: string | string[] | undefined }, ip: string }

export interface AuthenticationOptions {
  sessions: Sessions
  issuers: Issuers
  keys: KeyStore
  secret: string
  /** The secret before the current one, if it was changed. Tokens that it signed stay valid; it signs no new ones. */
  formerSecret: string | undefined
  /** Whether passwords may be used. */
  passwords: Config['PASSWORDS']
  cookie: ReturnType<typeof sessionCookie>
}

/** Authenticates requests by a bearer token or the cookie. A token names a row in `sessions`, and is valid as long as that session is. */
export const authentication = fp<AuthenticationOptions>(async function authentication (app, { sessions, issuers, keys, secret, formerSecret, passwords, cookie }) {
  await app.register(jwt, {
    secret,
    sign: { algorithm: 'HS256', iss: ISSUER, aud: AUDIENCE },
    verify: { ...VERIFY, cache: KNOWN_TOKENS }
  })

  if (passwords === 'off') {
    app.addHook('onRequest', async ({ routeOptions }) => {
      if (routeOptions.config.usesPassword === true) throw new PASSWORDS_OFF()
    })
  }

  app.decorate('userOf', async (token, { headers, ip }) => {
    if (token === undefined || token.length > MAX_TOKEN_LENGTH) return undefined
    if (token.startsWith('uk_')) return await sessions.userOfKey(hashOf(token))
    const claims = claimsOf(token)
    if (claims === undefined) {
      const sessionId = await issuers.sessionOf(token, { userAgent: headers['user-agent'], ip })
      return sessionId === undefined ? undefined : await sessions.userOf(sessionId)
    }
    const user = await sessions.userOf(claims.sid)
    return user?.kind === claims.kind ? user : undefined
  })

  app.decorate('callerOf', async (token, use) => {
    if (!isServerKey(token)) return await app.userOf(token, use)
    return await sessions.userOf(await keys.actFor(token, { ...use, externalId: use.headers['x-act-as'] }))
  })

  const admissions = createAdmissions()
  app.addHook('preHandler', admissions.checkAgain)

  app.decorate('identify', async request => {
    const { bearer, cookies, headers, ip, method, routeOptions } = request
    const user = await app.callerOf(bearer ?? cookies[cookie.name], { headers, ip, method, route: routeOptions.url!, scope: routeOptions.config.scope })
    if (user !== undefined) admissions.note(request, readAgain)
    return user
  })

  async function readAgain (request: FastifyRequest) {
    const user = await sessions.userOf(request.user.sessionId)
    if (user === undefined) throw new UNAUTHORIZED()
    request.user = user
  }

  app.decorate('authenticate', async request => {
    const user = await app.identify(request)
    if (user === undefined) throw new UNAUTHORIZED()
    request.user = user
  })

  app.decorate('needsKey', (...scopes) => admissions.noted(async request => {
    if (!isServerKey(request.bearer)) throw Object.assign(new UNAUTHORIZED(), { message: 'This needs a server key, as Authorization: Bearer pk_…' })
    request.serverKey = await keys.use(request.bearer, ...scopes)
  }))

  app.decorate('authenticateOrNeedKey', (...scopes) => {
    const needKey = app.needsKey(...scopes)
    return async request => await (isServerKey(request.bearer) && request.headers['x-act-as'] === undefined ? needKey : app.authenticate)(request)
  })

  app.decorate('refuseGuests', async ({ user }) => {
    if (user.isGuest) throw new NOT_FOR_GUESTS()
  })

  app.decorate('refuseKeys', async ({ user }) => {
    if (user.kind === 'server_key' || user.kind === 'personal_key') throw new MISSING_SCOPE()
  })

  app.decorate('refuseNonAdmins', admissions.noted(async ({ user }) => {
    if (user.role !== 'admin') throw new NOT_AN_ADMIN()
  }))

  app.decorateReply('openSession', async function openSession (this: FastifyReply, userId: number, kind: SessionKind, options: SessionOptions = {}) {
    const { headers, ip } = this.request
    this.header('cache-control', 'no-store')
    const sid = await sessions.open({ userId, kind, userAgent: headers['user-agent'], ip, ...options })
    return app.jwt.sign({ sid, kind }, { expiresIn: options.seconds ?? SESSION_LIFETIME_SECONDS[kind] })
  })

  app.decorateReply('logIn', async function logIn (this: FastifyReply, userId: number, provedHash?: string) {
    this.setCookie(cookie.name, await this.openSession(userId, 'cookie', { provedHash }), { ...cookie.options, maxAge: SESSION_LIFETIME_SECONDS.cookie })
    // This response replaces the old token in the browser. Without this, its session would stay open, and nobody could end it.
    await endSessionOf(this.request.cookies[cookie.name], this.request)
  })

  app.decorateReply('logOut', async function logOut (this: FastifyReply) {
    const { bearer, cookies } = this.request
    for (const token of [bearer, cookies[cookie.name]]) await endSessionOf(token, this.request)
    this.clearCookie(cookie.name, cookie.options)
  })

  async function endSessionOf (token: string | undefined, use: TokenUse) {
    const user = await app.userOf(token, use)
    if (user !== undefined) await sessions.end(user.id, user.sessionId)
  }

  function claimsOf (token: string) {
    return verified(token) ?? (formerSecret === undefined ? undefined : verified(token, { ...VERIFY, key: formerSecret }))
  }

  function verified (token: string, options?: typeof VERIFY & { key: string }) {
    try {
      const claims = app.jwt.verify<Claims>(token, options)
      // With anything but an integer as the id of a session, the query would fail with an error of Postgres.
      return Number.isSafeInteger(claims.sid) ? claims : undefined
    } catch {
      // An expired or forged token, or one for another purpose, counts as no token.
    }
  }
})
