import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { Config } from '../../config.ts'
import { INVALID_SIGNATURE, NOT_FOUND, WRONG_VERIFY_TOKEN } from '../../errors.ts'
import { WEBHOOK_BODY_LIMIT } from '../../http/body-limits.ts'
import type { createErrorHandler, Dialect } from '../../http/error-handler.ts'
import { addressOf } from '../../http/address.ts'
import { createLimiter } from '../../http/limiter.ts'
import { answers, PlainText } from '../../http/schema.ts'
import { withStatus } from '../chat/guest.ts'
import type { InboxStore } from './inbox-store.ts'
import { piecesOf } from './payload.ts'
import { hasSignature, isSigned, isToken } from './signature.ts'

export interface WhatsAppRoutesOptions {
  config: Pick<Config, 'META_VERIFY_TOKEN' | 'META_APP_SECRET' | 'META_PHONE_NUMBER_ID' | 'RATE_LIMITS' | 'RATE_LIMIT_SIGNATURE'>
  inbox: InboxStore
  handleErrors: (dialect: Dialect) => ReturnType<typeof createErrorHandler>
}

/** WhatsApp's webhook. It stores what Meta delivers and answers at once; a job processes it afterwards. */
export const whatsappRoutes: FastifyPluginAsyncTypebox<WhatsAppRoutesOptions> =
  async function whatsappRoutes (app, { config: { META_VERIFY_TOKEN, META_APP_SECRET, META_PHONE_NUMBER_ID, RATE_LIMITS, RATE_LIMIT_SIGNATURE }, inbox, handleErrors }) {
    app.setErrorHandler(handleErrors(withStatus))
    const falseSignatures = RATE_LIMITS === 'off' ? undefined : createLimiter(RATE_LIMIT_SIGNATURE, 60)
    // Do not parse the body: the signature is over its exact bytes, which parsing and serializing would change.
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) => body)

    app.get('/chat/whatsapp', Verify, async ({ query }, reply) => {
      const { 'hub.mode': mode, 'hub.verify_token': token, 'hub.challenge': challenge } = query
      if ((mode ?? 'subscribe') !== 'subscribe' || challenge === undefined || !isToken(token, META_VERIFY_TOKEN)) throw new WRONG_VERIFY_TOKEN()
      return reply.type('text/plain; charset=utf-8').send(challenge)
    })

    app.post<{ Body: Buffer | undefined, Headers: { 'x-hub-signature-256': string } }>('/chat/whatsapp', { ...Receive, onRequest: mayBeMeta }, async (request, reply) => {
      const { headers, body = Buffer.alloc(0) } = request
      if (!isSigned(body, headers['x-hub-signature-256'], META_APP_SECRET!)) await refuse(request)
      await inbox.keep(piecesOf(body, META_PHONE_NUMBER_ID))
      return reply.type('text/plain; charset=utf-8').send('OK')
    })

    /**
     * Runs before the body is read, so that nobody can send us 4 MiB without a signature, after many wrong ones, or when
     * WhatsApp is not set up. Only wrong signatures count against the limit: Meta sends many webhooks from few addresses.
     */
    async function mayBeMeta (request: Sender & { headers: Record<string, unknown> }) {
      if (META_APP_SECRET === undefined) throw new NOT_FOUND()
      await falseSignatures?.check(addressOf(request))
      if (!hasSignature(request.headers['x-hub-signature-256'])) await refuse(request)
    }

    async function refuse (request: Sender): Promise<never> {
      // The request that reaches the limit still gets INVALID_SIGNATURE; the next one is refused by `mayBeMeta`.
      await falseSignatures?.count(addressOf(request))
      throw new INVALID_SIGNATURE()
    }
  }

type Sender = Parameters<typeof addressOf>[0]

/** No limit by address: Meta sends everything from few addresses, and would only repeat what a limit refuses. */
const common = { config: { limit: false as const } }
const tags = ['whatsapp']

const Verify = {
  ...common,
  schema: {
    operationId: 'verifyWhatsAppWebhook',
    summary: 'Verifies the webhook for Meta: answers with the challenge as plain text',
    tags,
    querystring: Type.Object({
      'hub.mode': Type.Optional(Type.String({ maxLength: 100, description: '`subscribe`, or left out' })),
      'hub.verify_token': Type.Optional(Type.String({ maxLength: 1000, description: 'META_VERIFY_TOKEN' })),
      'hub.challenge': Type.Optional(Type.String({ maxLength: 1000 }))
    }),
    response: answers({ 200: PlainText }, [WRONG_VERIFY_TOKEN])
  }
}

const Receive = {
  ...common,
  bodyLimit: WEBHOOK_BODY_LIMIT,
  schema: {
    operationId: 'receiveWhatsAppWebhook',
    summary: 'Receives WhatsApp\'s webhooks; answers `OK` as soon as they are stored',
    description: 'The body is Meta\'s webhook of up to 4 MiB, signed over its bytes in `X-Hub-Signature-256`.',
    tags,
    headers: Type.Object({ 'x-hub-signature-256': Type.Optional(Type.String({ maxLength: 71, description: '`sha256=` and the HMAC-SHA256 of the body in hexadecimal' })) }),
    response: answers({ 200: PlainText }, [INVALID_SIGNATURE, NOT_FOUND])
  }
}
