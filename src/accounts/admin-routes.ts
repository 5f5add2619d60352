import { randomBytes } from 'node:crypto'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import {
  INVALID_PASSWORD, INVITATION_NOT_FOUND, LAST_ADMIN, NOT_AN_ADMIN, NOT_BY_INVITATION, NOT_FOR_GUESTS, UNAUTHORIZED, USER_NOT_FOUND, USERNAME_TAKEN
} from '../errors.ts'
import { linkNext } from '../http/paging.ts'
import { answers, Id, LOGGED_IN } from '../http/schema.ts'
import type { AdminLogStore } from './admin-log-store.ts'
import {
  AdminLogQuery, AdminLogSchema, AdminUserSchema, InvitationsQuery, InvitationsSchema, MadeInvitationSchema, MadeUserSchema, NewInvitationSchema, NewUserSchema,
  OneUserSchema, UserChangesSchema, UsersQuery
} from './admin-schema.ts'
import type { AdminUserStore } from './admin-user-store.ts'
import type { InvitationStore } from './invitation-store.ts'
import type { SignIn } from './sign-in.ts'

export interface AdminRoutesOptions {
  users: AdminUserStore
  invitations: InvitationStore
  log: AdminLogStore
  signIn: SignIn
  /** The address of the page, without a slash at the end. */
  origin: string
  /** Called after a user was locked: stops the replies that are being written for them. */
  locked: (userId: number) => Promise<void>
}

/** Routes for users, invitations and the log of admin actions. The scope that registers them is for admins only. */
export const adminRoutes: FastifyPluginAsyncTypebox<AdminRoutesOptions> =
  async function adminRoutes (app, { users, invitations, log, signIn, origin, locked }) {
    app.get('/users', List, async (request, reply) => {
      const { page, next } = await users.list(request.query)
      if (next !== undefined) linkNext(request, reply, { before: next })
      return page
    })

    app.post('/users', Create, async ({ user, body }, reply) => {
      const made = body.password === undefined ? randomBytes(15).toString('base64url') : undefined
      const account = await signIn.signUpFor(user, { ...body, password: body.password ?? made! })
      reply.header('cache-control', 'no-store')
      return reply.code(201).send({ ...account, ...made !== undefined && { password: made } })
    })

    app.get('/users/:id', Get, async ({ params }) => users.get(params.id))

    app.patch('/users/:id', Change, async ({ user, params, body }) => {
      const changed = await users.change(user, params.id, body)
      if (body.is_locked) await locked(params.id)
      return changed
    })

    app.delete('/users/:id', Remove, async ({ user, params }, reply) => {
      await users.remove(user, params.id)
      return reply.code(204).send(null)
    })

    app.delete('/users/:id/sessions', EndSessions, async ({ user, params }, reply) => {
      await users.endSessions(user, params.id)
      return reply.code(204).send(null)
    })

    app.get('/invitations', ListInvitations, async (request, reply) => {
      const { page, hasMore } = await invitations.list(request.query)
      if (hasMore) linkNext(request, reply, { before: page.at(-1)!.id })
      return page
    })

    app.post('/invitations', Invite, async ({ user, body }, reply) => {
      if (signIn.policy === 'closed') throw new NOT_BY_INVITATION()
      const { id, token, expires_at } = await invitations.create(user, body.expires_in)
      reply.header('cache-control', 'no-store')
      return reply.code(201).send({ id, link: `${origin}/#invite=${token}`, token, expires_at })
    })

    app.delete('/invitations/:id', Revoke, async ({ user, params }, reply) => {
      await invitations.revoke(user, params.id)
      return reply.code(204).send(null)
    })

    app.get('/log', ReadLog, async (request, reply) => {
      const { page, hasMore } = await log.list(request.query)
      if (hasMore) linkNext(request, reply, { before: page.at(-1)!.id })
      return page
    })
  }

const common = { tags: ['admin'], security: LOGGED_IN }
const NOT_YOU = [UNAUTHORIZED, NOT_FOR_GUESTS, NOT_AN_ADMIN]
const params = Type.Object({ id: Id })

const List = {
  schema: {
    ...common,
    operationId: 'listUsers',
    summary: 'Lists and finds users, newest first',
    description: 'With `q`, a page may be short or empty although more follow: continue while there is a `Link`.',
    querystring: UsersQuery,
    response: answers({ 200: Type.Array(AdminUserSchema) }, NOT_YOU)
  }
}

const Create = {
  config: { usesPassword: true },
  schema: {
    ...common,
    operationId: 'createUser',
    summary: 'Creates an account for somebody, regardless of `SIGNUP`',
    body: NewUserSchema,
    response: answers({ 201: MadeUserSchema }, [...NOT_YOU, INVALID_PASSWORD, USERNAME_TAKEN])
  }
}

const Get = {
  schema: { ...common, operationId: 'getUser', summary: 'One user', params, response: answers({ 200: OneUserSchema }, [...NOT_YOU, USER_NOT_FOUND]) }
}

const Change = {
  schema: {
    ...common,
    operationId: 'updateUser',
    summary: 'Locks or unlocks a user, or sets their token budget',
    description: 'Locking ends all sessions at once and stops the replies that are being written for them. A locked user cannot log in.',
    params,
    body: UserChangesSchema,
    response: answers({ 200: OneUserSchema }, [...NOT_YOU, USER_NOT_FOUND, LAST_ADMIN])
  }
}

const Remove = {
  schema: {
    ...common,
    operationId: 'deleteUser',
    summary: 'Deletes a user, their conversations and messages',
    description: 'A conversation with others is handed over to the member who joined first; the user\'s messages in it stay, without an author.',
    params,
    response: answers({ 204: Type.Null() }, [...NOT_YOU, USER_NOT_FOUND, LAST_ADMIN])
  }
}

const EndSessions = {
  schema: { ...common, operationId: 'endUserSessions', summary: 'Ends all sessions of a user', params, response: answers({ 204: Type.Null() }, [...NOT_YOU, USER_NOT_FOUND]) }
}

const ListInvitations = {
  schema: { ...common, operationId: 'listInvitations', summary: 'The invitations, newest first', querystring: InvitationsQuery, response: answers({ 200: InvitationsSchema }, NOT_YOU) }
}

const Invite = {
  config: { usesPassword: true },
  schema: {
    ...common,
    operationId: 'createInvitation',
    summary: 'Creates an invitation: a link with which one person can sign up',
    body: NewInvitationSchema,
    response: answers({ 201: MadeInvitationSchema }, [...NOT_YOU, NOT_BY_INVITATION])
  }
}

const Revoke = {
  schema: { ...common, operationId: 'revokeInvitation', summary: 'Revokes an invitation', params, response: answers({ 204: Type.Null() }, [...NOT_YOU, INVITATION_NOT_FOUND]) }
}

const ReadLog = {
  schema: {
    ...common,
    operationId: 'listAdminLog',
    summary: 'Lists what admins did, newest first. Entries cannot be changed',
    querystring: AdminLogQuery,
    response: answers({ 200: AdminLogSchema }, NOT_YOU)
  }
}
