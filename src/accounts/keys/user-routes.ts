import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { ACCOUNT_LOCKED, LAST_ADMIN, MISSING_SCOPE, UNAUTHORIZED, USER_NOT_FOUND } from '../../errors.ts'
import { answers } from '../../http/schema.ts'
import type { KeyStore } from './key-store.ts'
import { ExternalUserChangesSchema, ExternalUserParams, ExternalUserSchema, MintedTokenSchema, NewTokenSchema } from './schema.ts'
import type { KeyUserStore } from './user-store.ts'

/** The users of a server, by their ids in its app. These routes take a server key and no user's token. */
export const keyUserRoutes: FastifyPluginAsyncTypebox<{ users: KeyUserStore, keys: KeyStore }> =
  async function keyUserRoutes (app, { users, keys }) {
    app.get('/:external_id', { onRequest: app.needsKey('users', 'read'), ...Get }, async ({ params }) => users.get(params.external_id))

    app.put('/:external_id', { onRequest: app.needsKey('users'), ...Put }, async ({ serverKey, params, body }, reply) => {
      const { isNew, user } = await users.put(serverKey, params.external_id, body)
      return reply.code(isNew ? 201 : 200).send(user)
    })

    app.delete('/:external_id', { onRequest: app.needsKey('users'), ...Remove }, async ({ serverKey, params }, reply) => {
      await users.remove(serverKey, params.external_id)
      return reply.code(204).send(null)
    })

    app.post('/:external_id/tokens', { onRequest: app.needsKey('users'), ...Mint }, async ({ serverKey, params, body }, reply) => {
      const { id, is_locked: isLocked } = await users.get(params.external_id)
      if (isLocked) throw new ACCOUNT_LOCKED()
      await keys.log(serverKey, 'user.token', id)
      const token = await reply.openSession(id, 'access_token', { seconds: body.expires_in, serverKeyId: serverKey.id })
      const endsAt = Math.min(Date.now() + body.expires_in * 1000, serverKey.expiresAt?.getTime() ?? Infinity)
      return reply.code(201).send({ token, expires_at: new Date(endsAt) })
    })
  }

const common = { tags: ['servers'], security: [{ key: [] }], params: ExternalUserParams }
const NOT_YOU = [UNAUTHORIZED, MISSING_SCOPE]

const Get = {
  schema: { ...common, operationId: 'getExternalUser', summary: 'One of your users', response: answers({ 200: ExternalUserSchema }, [...NOT_YOU, USER_NOT_FOUND]) }
}

const Put = {
  schema: {
    ...common,
    operationId: 'putExternalUser',
    summary: 'Creates one of your users, or changes them',
    description: 'What you leave out stays as it is. The e-mail address counts as verified, unless another account has verified it.',
    body: ExternalUserChangesSchema,
    response: answers({ 200: ExternalUserSchema, 201: ExternalUserSchema }, NOT_YOU)
  }
}

const Remove = {
  schema: {
    ...common,
    operationId: 'deleteExternalUser',
    summary: 'Deletes one of your users, their conversations and messages',
    response: answers({ 204: Type.Null() }, [...NOT_YOU, USER_NOT_FOUND, LAST_ADMIN])
  }
}

const Mint = {
  schema: {
    ...common,
    operationId: 'mintToken',
    summary: 'Creates a token for one of your users',
    description: 'Your server knows who is logged in, and gives the token to their browser. It works like the token of a login, and ends with the key.',
    body: NewTokenSchema,
    response: answers({ 201: MintedTokenSchema }, [...NOT_YOU, USER_NOT_FOUND, ACCOUNT_LOCKED])
  }
}
