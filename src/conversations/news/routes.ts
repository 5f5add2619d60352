import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { CONVERSATION_NOT_FOUND, UNAUTHORIZED } from '../../errors.ts'
import { answers, LOGGED_IN } from '../../http/schema.ts'
import { EventStream } from '../live/routes.ts'
import { ConversationParams } from '../schema.ts'
import type { UserNews } from './news.ts'
import { NewsCursor, ReadSchema } from './schema.ts'
import type { NewsStore } from './store.ts'
import type { createNewsStreams } from './stream.ts'

/** A user's news. The scope that registers it has authenticated `user`. */
export const newsRoutes: FastifyPluginAsyncTypebox<{ newsStreams: ReturnType<typeof createNewsStreams> }> =
  async function newsRoutes (app, { newsStreams }) {
    app.get('/events', Listen, async ({ user, query, headers }, reply) =>
      newsStreams.send(reply, user, headers['last-event-id'] ?? query.after))
  }

/** What a user has read. The scope that registers it has authenticated `user`. */
export const readRoutes: FastifyPluginAsyncTypebox<{ news: UserNews, newsStore: NewsStore }> =
  async function readRoutes (app, { news, newsStore }) {
    app.put('/read', Read, async ({ user, params, body }, reply) => {
      if (await newsStore.read(user.id, params.id, body.rev)) news.wasRead(user.id, params.id)
      return reply.code(204).send(null)
    })
  }

const common = { tags: ['conversations'], security: LOGGED_IN }

const Listen = {
  config: { stream: 'always' as const },
  schema: {
    ...common,
    operationId: 'streamNews',
    summary: 'What happens in all your conversations, as server-sent events',
    description: '`conversation`, `gone`, and `ready` when what you missed was sent. Event ids are cursors.',
    querystring: Type.Object({ after: Type.Optional(NewsCursor) }),
    headers: Type.Object({ 'last-event-id': Type.Optional(NewsCursor) }),
    response: answers({ 200: EventStream }, [UNAUTHORIZED])
  }
}

const Read = {
  schema: {
    ...common,
    operationId: 'markRead',
    summary: 'Says up to which rev you have read',
    params: ConversationParams,
    body: ReadSchema,
    response: answers({ 204: Type.Null() }, [UNAUTHORIZED, CONVERSATION_NOT_FOUND])
  }
}
