import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { Config } from '../../config.js'
import { INVALID_SIGNATURE, NOT_FOUND, WEBHOOK_TOO_LARGE, WRONG_VERIFY_TOKEN } from '../../errors.js'
import type { createErrorHandler, Dialect } from '../../http/error-handler.js'
import { answers } from '../../http/schema.js'
import { withStatus } from '../chat/guest.js'
import type { InboxStore } from './inbox-store.js'
import { piecesOf } from './payload.js'
import { isSigned, isToken } from './signature.js'

export interface WhatsAppRoutesOptions {
  config: Pick<Config, 'META_VERIFY_TOKEN' | 'META_APP_SECRET' | 'META_PHONE_NUMBER_ID'>
  inbox: InboxStore
  handleErrors: (dialect: Dialect) => ReturnType<typeof createErrorHandler>
}

/** 4 MiB: as many messages as Meta may deliver at once, here and nowhere else. */
const BODY_LIMIT = 4 * 1024 * 1024

/** WhatsApp's webhook: keeps what comes, and thinks about it when Meta has its answer. */
export const whatsappRoutes: FastifyPluginAsyncTypebox<WhatsAppRoutesOptions> =
  async function whatsappRoutes (app, { config: { META_VERIFY_TOKEN, META_APP_SECRET, META_PHONE_NUMBER_ID }, inbox, handleErrors }) {
    app.setErrorHandler(handleErrors(inItsWords))
    // The signature is over the very bytes: read and written again, the same JSON may have others.
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: BODY_LIMIT }, async (_request: unknown, body: Buffer) => body)

    app.get('/chat/whatsapp', Verify, async ({ query }, reply) => {
      const { 'hub.mode': mode, 'hub.verify_token': token, 'hub.challenge': challenge } = query
      if (mode !== 'subscribe' || challenge === undefined || !isToken(token, META_VERIFY_TOKEN)) throw new WRONG_VERIFY_TOKEN()
      return reply.type('text/plain; charset=utf-8').send(challenge)
    })

    app.post<{ Body: Buffer | undefined, Headers: { 'x-hub-signature-256': string } }>('/chat/whatsapp', { ...Receive, onRequest: mustBeConfigured }, async ({ headers, body = Buffer.alloc(0) }, reply) => {
      if (!isSigned(body, headers['x-hub-signature-256'], META_APP_SECRET!)) throw new INVALID_SIGNATURE()
      await inbox.keep(piecesOf(body, META_PHONE_NUMBER_ID))
      return reply.type('text/plain; charset=utf-8').send('OK')
    })

    /** Before the body is read: nobody may send 4 MiB to what is not there, or without a signature. */
    async function mustBeConfigured ({ headers }: { headers: Record<string, unknown> }) {
      if (META_APP_SECRET === undefined) throw new NOT_FOUND()
      if (headers['x-hub-signature-256'] === undefined) throw new INVALID_SIGNATURE()
    }
  }

const inItsWords: Dialect = function inItsWords (body) {
  return withStatus(body.statusCode === 413 ? { ...body, error: new WEBHOOK_TOO_LARGE().message } : body)
}

/** Meta sends from few addresses, and would try again what a limit refuses. */
const common = { config: { limit: false as const } }
const tags = ['whatsapp']

const Verify = {
  ...common,
  exposeHeadRoute: false,
  schema: {
    summary: 'Proves to Meta that this address is ours: the challenge, as plain text',
    tags,
    querystring: Type.Object({
      'hub.mode': Type.Optional(Type.String({ description: '`subscribe`' })),
      'hub.verify_token': Type.Optional(Type.String({ description: 'META_VERIFY_TOKEN' })),
      'hub.challenge': Type.Optional(Type.String({ maxLength: 1000 }))
    }),
    response: answers({ 200: Type.String() }, [WRONG_VERIFY_TOKEN])
  }
}

const Receive = {
  ...common,
  schema: {
    summary: 'Takes what WhatsApp delivers; answers `OK` as soon as it is stored',
    description: 'The body is Meta\'s webhook of up to 4 MiB, signed over its bytes in `X-Hub-Signature-256`.',
    tags,
    headers: Type.Object({ 'x-hub-signature-256': Type.Optional(Type.String({ description: '`sha256=` and the HMAC-SHA256 of the body in hexadecimal' })) }),
    response: answers({ 200: Type.String() }, [INVALID_SIGNATURE, NOT_FOUND, WEBHOOK_TOO_LARGE])
  }
}
