import type { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { BotHandle } from '../../conversations/bots/schema.ts'
import {
  BOT_BUSY, BOT_NOT_FOUND, BOT_NOT_READY, BUDGET_SPENT, CONVERSATION_NOT_FOUND, IDEMPOTENCY_MISMATCH, NOT_THE_LAST_REPLY, TOO_MANY_REPLIES, UNAUTHORIZED
} from '../../errors.ts'
import { HISTORY_BODY_LIMIT } from '../../http/body-limits.ts'
import { answers, ClientId, LOGGED_IN } from '../../http/schema.ts'
import type { Replies } from '../../replies/replies.ts'
import type { Runs } from './runs.ts'
import { RunInputSchema, withoutAgUiHistory } from './schema.ts'

export interface AgUiRoutesOptions {
  runs: Runs
  generation: Pick<Replies, 'stop'>
}

/** The routes for clients of AG-UI. The scope that registers it has authenticated `user`. */
export const agUiRoutes: FastifyPluginAsyncTypebox<AgUiRoutesOptions> =
  async function agUiRoutes (app, { runs, generation }) {
    app.post('/threads/:id/stop', Stop, async ({ user, params }, reply) => {
      const conversation = await runs.find(user, params.id)
      if (conversation !== undefined) await generation.stop(user.id, conversation)
      return reply.code(204).send(null)
    })

    await app.register(runRoutes, { runs })
  }

/** The routes to which clients send their whole history. */
const runRoutes: FastifyPluginAsyncTypebox<Pick<AgUiRoutesOptions, 'runs'>> =
  async function runRoutes (app, { runs }) {
    app.removeContentTypeParser('application/json')
    app.addContentTypeParser('application/json', { parseAs: 'buffer' }, app.createJsonParser(withoutAgUiHistory))

    app.post('/', Run, async ({ user, body, log }, reply) =>
      await runs.run(user, body, undefined, reply, log))

    app.post('/:bot', RunBot, async ({ user, params, body, log }, reply) =>
      await runs.run(user, body, params.bot, reply, log))
  }

const common = { tags: ['chat'], security: LOGGED_IN }
const FAILURES = [UNAUTHORIZED, CONVERSATION_NOT_FOUND, BOT_NOT_FOUND, BOT_NOT_READY, BOT_BUSY, NOT_THE_LAST_REPLY, IDEMPOTENCY_MISMATCH, TOO_MANY_REPLIES, BUDGET_SPENT]

const AgUiStream = Type.Unsafe<Readable>({
  description: 'The events of the run',
  content: { 'text/event-stream': { schema: { type: 'string', examples: ['data: {"type":"TEXT_MESSAGE_CONTENT","messageId":"m2","delta":"Hello"}\n\n'] } } }
})

const Run = {
  bodyLimit: HISTORY_BODY_LIMIT,
  config: { stream: 'always' as const },
  schema: {
    ...common,
    operationId: 'runAgent',
    summary: 'Sends the last message of an AG-UI run, and streams the replies',
    description: 'A `threadId` that is new begins a conversation. Without a user\'s message at the end, the run loads the thread and follows what is under way.',
    body: RunInputSchema,
    response: answers({ 200: AgUiStream }, FAILURES)
  }
}

const RunBot = {
  ...Run,
  schema: {
    ...Run.schema,
    operationId: 'runBot',
    summary: 'The same for one bot',
    description: 'It is the bot of a new conversation. In an existing one it must be a member, and only it replies.',
    params: Type.Object({ bot: BotHandle })
  }
}

const Stop = {
  schema: {
    ...common,
    operationId: 'stopThread',
    summary: 'Stops the replies of a thread that are under way; their text stays',
    description: 'AG-UI\'s own `abortRun` only closes the connection, which does not stop a reply.',
    params: Type.Object({ id: ClientId }),
    response: answers({ 204: Type.Null() }, [UNAUTHORIZED, CONVERSATION_NOT_FOUND])
  }
}
