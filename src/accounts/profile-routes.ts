import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { FastifyRequest } from 'fastify'
import {
  INVALID_CREDENTIALS, INVALID_PASSWORD, NOT_FOR_GUESTS, PASSWORD_REQUIRED, SESSION_NOT_FOUND, UNAUTHORIZED, USERNAME_TAKEN, WRONG_PASSWORD
} from '../errors.js'
import { linkNext } from '../http/paging.js'
import { answers, Id, LOGGED_IN, PageQuery } from '../http/schema.js'
import type { Passwords } from './passwords.js'
import type { ProfileStore } from './profile-store.js'
import { PasswordSchema, ProfileChangesSchema, ProfileSchema, SessionSchema } from './schema.js'
import type { Sessions } from './sessions.js'
import { keyOf } from './store.js'

export interface ProfileRoutesOptions {
  profiles: ProfileStore
  sessions: Sessions
  passwords: Passwords
}

/** One's own account. The scope that registers it has authenticated `user`, and refuses guests. */
export const profileRoutes: FastifyPluginAsyncTypebox<ProfileRoutesOptions> =
  async function profileRoutes (app, { profiles, sessions, passwords }) {
    app.get('/', Get, async ({ user }) => profiles.get(user.id))

    app.patch('/', Change, async (request, reply) => {
      const { user, body, bearer } = request
      const { current_password, password, ...changes } = body
      const mustProve = password !== undefined || changes.email !== undefined || changes.username !== undefined
      const proved = mustProve ? await prove(request, current_password) : undefined
      const passwordHash = password === undefined ? undefined : await passwords.hash(password)
      const profile = await profiles.change(user.id, proved, { ...changes, passwordHash })
      // All sessions have ended, this one too: who came by cookie goes on with a new one.
      if (passwordHash !== undefined && bearer === undefined) await reply.logIn(user.id, passwordHash)
      return profile
    })

    app.delete('/', Remove, async (request, reply) => {
      await profiles.remove(request.user.id, await prove(request, request.body.password))
      if (request.bearer === undefined) await reply.logOut()
      return reply.code(204).send(null)
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

    /** Gives the hash of the password that was proved. Guesses count as those at the login do. */
    async function prove (request: FastifyRequest, password: string | undefined) {
      if (password === undefined) throw new PASSWORD_REQUIRED()
      const { id, username } = request.user
      await request.limitBy('account', keyOf(username!))
      const hash = await profiles.passwordHash(id)
      if (!await passwords.verify(password, hash)) throw new WRONG_PASSWORD()
      return hash!
    }
  }

const common = { tags: ['profile'], security: LOGGED_IN }
const NOT_YOU = [UNAUTHORIZED, NOT_FOR_GUESTS]

const Get = {
  schema: { ...common, summary: 'The account that is logged in', response: answers({ 200: ProfileSchema }, NOT_YOU) }
}

const Change = {
  schema: {
    ...common,
    summary: 'Changes the account',
    description: 'A new e-mail address, username or password needs `current_password`. A new password ends all sessions; who came by cookie gets a new one.',
    body: ProfileChangesSchema,
    response: answers({ 200: ProfileSchema }, [...NOT_YOU, INVALID_CREDENTIALS, INVALID_PASSWORD, PASSWORD_REQUIRED, WRONG_PASSWORD, USERNAME_TAKEN])
  }
}

const Remove = {
  schema: {
    ...common,
    summary: 'Deletes the account, its conversations and messages',
    description: 'A conversation with others goes to its oldest member; what was said there stays, without an author.',
    body: PasswordSchema,
    response: answers({ 204: Type.Null() }, [...NOT_YOU, WRONG_PASSWORD])
  }
}

const ListSessions = {
  schema: {
    ...common,
    summary: 'Where this account is logged in, newest first',
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
    summary: 'Logs out there: ends a session of this account',
    params: Type.Object({ id: Id }),
    response: answers({ 204: Type.Null() }, [...NOT_YOU, SESSION_NOT_FOUND])
  }
}
