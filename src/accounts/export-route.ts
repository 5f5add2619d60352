import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { NOT_FOR_GUESTS, UNAUTHORIZED } from '../errors.ts'
import { answers, LOGGED_IN } from '../http/schema.ts'
import type { ExportStore } from './export-store.ts'

/** Exports everything that is stored about a user, for the user. */
export const exportRoute: FastifyPluginAsyncTypebox<{ exported: ExportStore }> =
  async function exportRoute (app, { exported }) {
    app.get('/export', Export, async ({ user }, reply) => {
      const person = await exported.person(user.id)
      reply.header('content-disposition', 'attachment; filename="parley-export.json"').type('application/json; charset=utf-8')
      return reply.send(Readable.from(write(user.id, person)))
    })

    async function * write (userId: number, person: object) {
      yield `${JSON.stringify({ exported_at: new Date(), ...person }).slice(0, -1)},"conversations":[`
      let comma = ''
      for await (const conversation of exported.conversations(userId)) {
        yield `${comma}${JSON.stringify(conversation).slice(0, -1)},"messages":`
        yield * list(exported.messages(userId, conversation))
        yield '}'
        comma = ','
      }
      yield ']}\n'
    }
  }

/** Writes a JSON array item by item, so that it need not be in memory. */
async function * list (items: AsyncIterable<unknown>) {
  let before = '['
  for await (const item of items) {
    yield `${before}${JSON.stringify(item)}`
    before = ','
  }
  yield before === '[' ? '[]' : ']'
}

const Export = {
  schema: {
    operationId: 'exportMyData',
    summary: 'Exports everything that is stored about this account',
    description: 'Profile, sessions, conversations and messages as one JSON document. A conversation with others has only your own messages.',
    tags: ['profile'],
    security: LOGGED_IN,
    response: answers({ 200: Type.Object({}, { title: 'Export', additionalProperties: true }) }, [UNAUTHORIZED, NOT_FOR_GUESTS])
  }
}
