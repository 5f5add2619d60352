import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { KEY_NOT_FOUND, MISSING_SCOPE, NOT_FOR_GUESTS, UNAUTHORIZED } from '../../errors.ts'
import { linkNext } from '../../http/paging.ts'
import { answers, Id, LOGGED_IN } from '../../http/schema.ts'
import { readExpiry } from './expiry.ts'
import type { PersonalKeyStore } from './personal-key-store.ts'
import { KeysQuery, MadePersonalKeySchema, NewPersonalKeySchema, PersonalKeySchema } from './schema.ts'

/** Keys for the user's own scripts. The scope that registers it has authenticated `user` and refuses guests. */
export const personalKeyRoutes: FastifyPluginAsyncTypebox<{ keys: PersonalKeyStore }> =
  async function personalKeyRoutes (app, { keys }) {
    app.get('/', List, async (request, reply) => {
      const { page, hasMore } = await keys.list(request.user.id, request.query)
      if (hasMore) linkNext(request, reply, { before: page.at(-1)!.id })
      return page
    })

    app.post('/', { onRequest: app.refuseKeys, ...Create }, async ({ user, body, ip }, reply) => {
      reply.header('cache-control', 'no-store')
      return reply.code(201).send(await keys.create(user, { name: body.name, expiresAt: readExpiry(body.expires_at), ip }))
    })

    app.delete('/:id', Revoke, async ({ user, params }, reply) => {
      await keys.revoke(user.id, params.id)
      return reply.code(204).send(null)
    })
  }

const common = { tags: ['profile'], security: LOGGED_IN }
const NOT_YOU = [UNAUTHORIZED, NOT_FOR_GUESTS]

const List = {
  schema: {
    ...common,
    operationId: 'listMyKeys',
    summary: 'Lists your personal keys, newest first',
    querystring: KeysQuery,
    response: answers({ 200: Type.Array(PersonalKeySchema) }, NOT_YOU)
  }
}

const Create = {
  schema: {
    ...common,
    operationId: 'createMyKey',
    summary: 'Creates a personal key for your scripts',
    description: 'It works as `Authorization: Bearer` wherever you may do something, except for creating keys.',
    body: NewPersonalKeySchema,
    response: answers({ 201: MadePersonalKeySchema }, [...NOT_YOU, MISSING_SCOPE])
  }
}

const Revoke = {
  schema: {
    ...common,
    operationId: 'revokeMyKey',
    summary: 'Revokes a personal key',
    params: Type.Object({ id: Id }),
    response: answers({ 204: Type.Null() }, [...NOT_YOU, KEY_NOT_FOUND])
  }
}
