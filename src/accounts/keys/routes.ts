import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { KEY_NOT_FOUND, MISSING_SCOPE, NOT_AN_ADMIN, NOT_FOR_GUESTS, UNAUTHORIZED } from '../../errors.ts'
import { linkNext } from '../../http/paging.ts'
import { answers, Id, LOGGED_IN } from '../../http/schema.ts'
import { readExpiry } from './expiry.ts'
import type { KeyStore } from './key-store.ts'
import { KeySchema, KeysQuery, MadeKeySchema, NewKeySchema } from './schema.ts'

/** Server keys. The scope that registers it is for admins only. */
export const keyRoutes: FastifyPluginAsyncTypebox<{ keys: KeyStore }> =
  async function keyRoutes (app, { keys }) {
    app.get('/', List, async (request, reply) => {
      const { page, hasMore } = await keys.list(request.query)
      if (hasMore) linkNext(request, reply, { before: page.at(-1)!.id })
      return page
    })

    app.post('/', { onRequest: app.refuseKeys, ...Create }, async ({ user, body }, reply) => {
      reply.header('cache-control', 'no-store')
      return reply.code(201).send(await keys.create(user, { ...body, expiresAt: readExpiry(body.expires_at) }))
    })

    app.delete('/:id', Revoke, async ({ user, params }, reply) => {
      await keys.revoke(user, params.id)
      return reply.code(204).send(null)
    })
  }

const common = { tags: ['admin'], security: LOGGED_IN }
const NOT_YOU = [UNAUTHORIZED, NOT_FOR_GUESTS, NOT_AN_ADMIN]

const List = {
  schema: { ...common, operationId: 'listKeys', summary: 'Lists the server keys, newest first', querystring: KeysQuery, response: answers({ 200: Type.Array(KeySchema) }, NOT_YOU) }
}

const Create = {
  schema: {
    ...common,
    operationId: 'createKey',
    summary: 'Creates a key with which a server manages users and acts for them',
    body: NewKeySchema,
    response: answers({ 201: MadeKeySchema }, [...NOT_YOU, MISSING_SCOPE])
  }
}

const Revoke = {
  schema: {
    ...common,
    operationId: 'revokeKey',
    summary: 'Revokes a server key, and ends the sessions that were begun with it',
    params: Type.Object({ id: Id }),
    response: answers({ 204: Type.Null() }, [...NOT_YOU, KEY_NOT_FOUND])
  }
}
