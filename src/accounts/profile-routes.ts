import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { FastifyRequest } from 'fastify'
import {
  INVALID_CREDENTIALS, INVALID_PASSWORD, INVALID_USERNAME, LAST_ADMIN, NOT_FOR_GUESTS, PASSWORD_REQUIRED, SESSION_NOT_FOUND, UNAUTHORIZED,
  USERNAME_TAKEN, WRONG_PASSWORD
} from '../errors.ts'
import { invalidRequest } from '../http/faults.ts'
import { linkNext } from '../http/paging.ts'
import { answers, Id, LOGGED_IN, PageQuery } from '../http/schema.ts'
import { readPhoneNumber } from '../text/phone-number.ts'
import { keyOf } from '../text/username.ts'
import type { Passwords } from './passwords.ts'
import type { ProfileStore } from './profile-store.ts'
import { PasswordSchema, ProfileChangesSchema, ProfileSchema, SessionSchema } from './schema.ts'
import type { Sessions } from './sessions.ts'
import { readUsername } from './username-store.ts'

export interface ProfileRoutesOptions {
  profiles: ProfileStore
  sessions: Sessions
  passwords: Passwords
}

/** The user's own account. The scope that registers it has authenticated `user` and refuses guests. */
export const profileRoutes: FastifyPluginAsyncTypebox<ProfileRoutesOptions> =
  async function profileRoutes (app, { profiles, sessions, passwords }) {
    const prove = createProof({ profiles, passwords })

    app.get('/', Get, async ({ user }) => profiles.get(user.id))

    app.patch('/', Change, async (request, reply) => {
      const { user, body, bearer } = request
      const { current_password, password, ...changes } = body
      if (changes.username !== undefined) changes.username = readUsername(changes.username)
      mustBePhoneNumber(changes.phone_number)
      const mustProve = password !== undefined || changes.email !== undefined || changes.username !== undefined
      const proved = mustProve ? await prove(request, current_password) : undefined
      const passwordHash = password === undefined ? undefined : await passwords.hash(password)
      const profile = await profiles.change(user.id, proved, { ...changes, passwordHash })
      // All sessions have ended, this one too. A user with a cookie gets a new session; a client with a token must log in again.
      if (passwordHash !== undefined && bearer === undefined) await reply.logIn(user.id, passwordHash)
      return profile
    })

    app.get('/sessions', ListSessions, async (request, reply) => {
      const { user, query: { limit, before } } = request
      const { page, hasMore } = await sessions.list(user.id, { limit, before })
      if (hasMore) linkNext(request, reply, { before: page.at(-1)!.id })
      return page.map(session => ({ ...session, is_current: session.id === user.sessionId }))
    })

    app.delete('/sessions/:id', EndSession, async ({ user, params }, reply) => {
      if (!await sessions.end(user.id, params.id)) throw new SESSION_NOT_FOUND()
      return reply.code(204).send(null)
    })
  }

/** @throws INVALID_REQUEST that says what is wrong with the number */
function mustBePhoneNumber (text: string | null | undefined) {
  const problem = text == null ? undefined : readPhoneNumber(text).problem
  if (problem === undefined) return
  throw invalidRequest([{ path: 'phone_number', message: `cannot be read. ${problem}` }])
}

/** Lets users delete themselves. The scope that registers it has authenticated `user`, who may be a guest. */
export const removalRoute: FastifyPluginAsyncTypebox<Omit<ProfileRoutesOptions, 'sessions'>> =
  async function removalRoute (app, options) {
    const prove = createProof(options)
    const mustProve = ({ user }: FastifyRequest) => user.hasPassword && options.passwords.areOn

    /** Those who have no password, or cannot use it here, send no body. */
    async function preValidation (request: FastifyRequest) {
      if (!mustProve(request) && Object.keys(request.body ?? {}).length === 0) request.body = { password: '' }
    }

    app.delete('/', { ...Remove, preValidation }, async (request, reply) => {
      const { user, body, bearer } = request
      await options.profiles.remove(user.id, mustProve(request) ? await prove(request, body.password) : undefined)
      if (bearer === undefined) await reply.logOut()
      return reply.code(204).send(null)
    })
  }

function createProof ({ profiles, passwords }: Omit<ProfileRoutesOptions, 'sessions'>) {
  /** Checks the current password and returns its hash. Wrong guesses count against the same limit as those at the login. */
  return async function prove (request: FastifyRequest, password: string | undefined) {
    passwords.mustBeOn()
    if (password === undefined) throw new PASSWORD_REQUIRED()
    const { id, username } = request.user
    await request.limitBy('account', username === null ? String(id) : keyOf(username))
    const hash = await profiles.passwordHash(id)
    if (!await passwords.verify(password, hash)) throw new WRONG_PASSWORD()
    return hash!
  }
}

const common = { tags: ['profile'], security: LOGGED_IN }
const NOT_YOU = [UNAUTHORIZED, NOT_FOR_GUESTS]

const Get = {
  schema: { ...common, operationId: 'getMe', summary: 'The account that is logged in', response: answers({ 200: ProfileSchema }, NOT_YOU) }
}

const Change = {
  schema: {
    ...common,
    operationId: 'updateMe',
    summary: 'Changes your account',
    description: 'A new e-mail address, username or password needs `current_password`. A new password ends all sessions; with a cookie you get a new one.',
    body: ProfileChangesSchema,
    response: answers({ 200: ProfileSchema }, [...NOT_YOU, INVALID_CREDENTIALS, INVALID_PASSWORD, INVALID_USERNAME, PASSWORD_REQUIRED, WRONG_PASSWORD, USERNAME_TAKEN])
  }
}

const Remove = {
  schema: {
    ...common,
    operationId: 'deleteMe',
    summary: 'Deletes your account with its conversations and messages',
    description: 'A conversation with others is handed over to the member who joined first; your messages in it stay, without an author. Guests, and users of another issuer, need no password and no body.',
    body: PasswordSchema,
    response: answers({ 204: Type.Null() }, [UNAUTHORIZED, WRONG_PASSWORD, LAST_ADMIN])
  }
}

const ListSessions = {
  schema: {
    ...common,
    operationId: 'listSessions',
    summary: 'Lists the sessions of this account, newest first',
    querystring: Type.Object({
      limit: PageQuery.properties.limit,
      before: Type.Optional(Type.Integer({ ...Id, description: 'The page before the session with this id' }))
    }),
    response: answers({ 200: Type.Array(SessionSchema) }, NOT_YOU)
  }
}

const EndSession = {
  schema: {
    ...common,
    operationId: 'endSession',
    summary: 'Ends a session of this account, which signs out that device',
    params: Type.Object({ id: Id }),
    response: answers({ 204: Type.Null() }, [...NOT_YOU, SESSION_NOT_FOUND])
  }
}
