import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { FastifyReply } from 'fastify'
import { NOT_FOR_GUESTS, UNAUTHORIZED } from '../errors.ts'
import { answers, LOGGED_IN } from '../http/schema.ts'
import type { ExportStore } from './export-store.ts'
import type { Sessions } from './sessions.ts'

/** Exports everything that is stored about a user, for the user. */
export const exportRoute: FastifyPluginAsyncTypebox<{ exported: ExportStore, sessions: Pick<Sessions, 'watch'> }> =
  async function exportRoute (app, { exported, sessions }) {
    app.get('/export', Export, async ({ user }, reply) => {
      const person = await exported.person(user.id)
      reply.header('content-disposition', 'attachment; filename="parley-export.json"').type('application/json; charset=utf-8')
      // A client may read slowly. Meanwhile it must not keep the user's other requests waiting.
      reply.leaveSlot()
      const document = Readable.from(write(user.id, person, reply))
      document.once('close', sessions.watch(user.sessionId, () => document.destroy(new UNAUTHORIZED())))
      return reply.send(document)
    })

    async function * write (userId: number, person: object, reply: FastifyReply) {
      yield `${JSON.stringify({ exported_at: new Date(), ...person }).slice(0, -1)},"conversations":[`
      let comma = ''
      for await (const conversation of inSlots(exported.conversations(userId))) {
        yield `${comma}${JSON.stringify(conversation).slice(0, -1)},"messages":`
        yield * list(inSlots(exported.messages(userId, conversation)))
        yield '}'
        comma = ','
      }
      yield '],"costs":'
      yield * list(inSlots(exported.costs(userId)))
      yield ',"admin_actions":'
      yield * list(inSlots(exported.adminActions(userId)))
      yield '}\n'

      /** Reads each page in one of the user's slots. */
      async function * inSlots<Item> (pages: AsyncGenerator<Item[]>) {
        for (;;) {
          const page = await reply.inSlot(userId, async () => await pages.next())
          if (page.done) return
          yield * page.value
        }
      }
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
  config: { stream: 'always' as const },
  schema: {
    operationId: 'exportMyData',
    summary: 'Exports everything that is stored about this account',
    description: 'All of it as one JSON document. A conversation with others has only your own messages.',
    tags: ['profile'],
    security: LOGGED_IN,
    response: answers({ 200: Type.Object({}, { title: 'Export', additionalProperties: true }) }, [UNAUTHORIZED, NOT_FOR_GUESTS])
  }
}
