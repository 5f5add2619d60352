import type { FastifyError, FastifyRequest } from 'fastify'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { ServerKey } from '../../accounts/keys/key-store.ts'
import type { SessionUser } from '../../accounts/sessions.ts'
import type { BotRow, Directory } from '../../bots/bot.ts'
import type { BotStore } from '../../conversations/bots/store.ts'
import { BOT_CONTEXT_FULL, BOT_FAILED, BOT_NOT_FOUND, BUDGET_SPENT, MESSAGE_REFUSED, NOT_FOR_GUESTS, NOT_FOUND, TOO_MANY_REPLIES, TOO_MANY_STREAMS, UNAUTHORIZED } from '../../errors.ts'
import { HISTORY_BODY_LIMIT } from '../../http/body-limits.ts'
import type { createErrorHandler, Dialect } from '../../http/error-handler.ts'
import { answers, LOGGED_IN } from '../../http/schema.ts'
import { isStorable, MAX_MESSAGE_LENGTH } from '../../text/text.ts'
import type { Completions } from './completion.ts'
import { inOpenAiWords, OpenAiErrorSchema } from './errors.ts'
import { AnswerOrStream, CompletionSchema, ModelName, ModelSchema, ModelsSchema, mustFitABot, readHistory, toModel, withoutOldMessages } from './schema.ts'

export interface OpenAiRoutesOptions {
  bots: Pick<BotStore, 'list' | 'named'>
  directory: Directory
  completions: Completions
  /** The `metadata` that the operator's servers have stored with a user. @throws UNAUTHORIZED when the account is gone meanwhile */
  metadataOf: (userId: number) => Promise<Record<string, unknown>>
  handleErrors: (dialect: Dialect) => ReturnType<typeof createErrorHandler>
}

/** How many bots are read at once. */
const PAGE = 200

/** OpenAI's API: a bot is a model, and the client keeps the history. For users and for servers with a key. */
export const openAiRoutes: FastifyPluginAsyncTypebox<OpenAiRoutesOptions> =
  async function openAiRoutes (app, { bots, directory, completions, metadataOf, handleErrors }) {
    const authenticate = app.authenticateOrNeedKey('v1')
    const handleError = handleErrors(inOpenAiWords)
    app.setErrorHandler<FastifyError>((error, request, reply) => {
      // The `openai` packages repeat a request that got 429, although a budget is spent until tomorrow.
      if (error.code === 'BUDGET_SPENT') reply.header('x-should-retry', 'false')
      return handleError(error, request, reply)
    })
    /* c8 ignore next -- a hook of the whole app refuses unknown paths; a handler of this scope makes it use these words */
    app.setNotFoundHandler(async () => { throw new NOT_FOUND() })
    app.addHook('onRequest', enter)
    app.removeContentTypeParser('application/json')
    app.addContentTypeParser('application/json', { parseAs: 'buffer' }, app.createJsonParser(withoutOldMessages))

    app.get('/models', List, async () => {
      const data = []
      let after: number | undefined
      for (let hasMore = true; hasMore;) {
        const read = await bots.list({ limit: PAGE, after })
        data.push(...read.page.filter(row => offered(row) !== undefined).map(({ name }) => toModel(name)))
        after = read.page.at(-1)?.id
        hasMore = read.hasMore
      }
      return { object: 'list' as const, data }
    })

    app.get('/models/:id', Get, async ({ params }) => toModel((await find(params.id)).name))

    app.post('/chat/completions', Complete, async (request, reply) => {
      const { body } = request
      const { user, serverKey } = request as { user: SessionUser | null, serverKey?: ServerKey }
      mustFitABot(body)
      const name = user === null ? null : user.username ?? user.name
      const bot = await find(body.model)
      const { turns, instructions } = readHistory(body.messages, bot.name, name, bot.longestText)
      if (body.stream && user !== null) reply.takeStream(user.id)
      const asker = user && { id: user.id, name, metadata: await metadataOf(user.id) }
      reply.leaveSlot()
      const question = { bot, turns, instructions, user: asker, apiKeyHash: serverKey?.hash ?? null }
      const watched = user === null ? { serverKey: serverKey! } : { user }
      if (!body.stream) return await completions.whole(question, watched, reply)
      return await completions.streamed(question, watched, reply, body.stream_options?.include_usage === true)
    })

    /** A server without `X-Act-As` asks for itself. Everybody else is a user. */
    async function enter (request: FastifyRequest) {
      await authenticate(request)
      const { user } = request as { user: SessionUser | null }
      if (user !== null) await app.refuseGuests(request)
    }

    /** A bot that streams its replies and can reply. Scripts are not offered, because they need the state of a conversation. */
    function offered (row: BotRow) {
      const bot = directory(row)
      if (bot.kind !== 'streaming' || bot.isReady === false) return undefined
      return { name: row.name, reply: bot.reply, longestText: bot.longestText ?? MAX_MESSAGE_LENGTH }
    }

    async function find (name: string) {
      const row = isStorable(name) ? await bots.named(name) : undefined
      const bot = row && offered(row)
      if (bot === undefined) throw Object.assign(new BOT_NOT_FOUND(), { message: 'There is no model of this name', details: [{ path: 'model', message: 'does not exist' }] })
      return bot
    }
  }

const common = { tags: ['bots'], security: LOGGED_IN }
const config = { scope: 'v1' as const }
const NOT_YOU = [UNAUTHORIZED, NOT_FOR_GUESTS]

const List = {
  config,
  schema: {
    ...common,
    operationId: 'listModels',
    summary: 'The bots as models',
    response: answers({ 200: ModelsSchema }, NOT_YOU, OpenAiErrorSchema)
  }
}

const Get = {
  config,
  schema: {
    ...common,
    operationId: 'getModel',
    summary: 'One bot as a model',
    params: Type.Object({ id: ModelName }),
    response: answers({ 200: ModelSchema }, [...NOT_YOU, BOT_NOT_FOUND], OpenAiErrorSchema)
  }
}

const Complete = {
  config,
  bodyLimit: HISTORY_BODY_LIMIT,
  schema: {
    ...common,
    operationId: 'createCompletion',
    summary: 'Replies to a history',
    body: CompletionSchema,
    response: answers({ 200: AnswerOrStream },
      [...NOT_YOU, BOT_NOT_FOUND, MESSAGE_REFUSED, BOT_CONTEXT_FULL, TOO_MANY_REPLIES, TOO_MANY_STREAMS, BUDGET_SPENT, BOT_FAILED], OpenAiErrorSchema)
  }
}
