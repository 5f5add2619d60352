import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { BOT_NOT_FOUND, IDEMPOTENCY_MISMATCH, NOT_AN_ADMIN, NOT_FOR_GUESTS, UNAUTHORIZED } from '../../errors.ts'
import { MESSAGE_BODY_LIMIT } from '../../http/body-limits.ts'
import { invalidRequest } from '../../http/faults.ts'
import { answers, ClientId, ClientIdHeader, LOGGED_IN, Text } from '../../http/schema.ts'
import { readPhoneNumber } from '../../text/phone-number.ts'
import { MAX_MESSAGE_LENGTH } from '../../text/text.ts'
import { senderOf, type Contact } from './addresses.ts'
import { DeliverySchema } from './delivery-routes.ts'
import type { TemplateStore } from './template-store.ts'

/** Templates, with which an admin may write to a contact who has been silent for 24 hours. The scope that registers it is for admins. */
export const templateRoutes: FastifyPluginAsyncTypebox<{ templates: TemplateStore }> =
  async function templateRoutes (app, { templates }) {
    app.post('/:name', Send, async ({ user, params: { name }, headers, body }, reply) => {
      const { to, language, variables = [], text, client_id: clientId } = body
      return reply.code(201).send(await templates.send({
        admin: user,
        clientId: headers['idempotency-key'] ?? clientId,
        to: recipientIn(to),
        template: { name, language, variables },
        text
      }))
    })
  }

const USER_ID = /^[A-Z]{2}\.[A-Za-z0-9.]{1,133}$/

/** The contact whom an admin names by a user id, or by a phone number as people write it. @throws INVALID_REQUEST that says what is wrong */
function recipientIn (to: string): Contact {
  if (USER_ID.test(to)) return senderOf({ from: to })
  const number = readPhoneNumber(to)
  if (number.problem === undefined) return senderOf({ from: number.digits })
  throw invalidRequest([{ path: 'to', message: `must be a user id such as US.13491208655302741918, or a phone number. ${number.problem}` }])
}

const Variable = Type.String({ minLength: 1, maxLength: 1024 })

/** Meta's limits for names. @see https://developers.facebook.com/documentation/business-messaging/whatsapp/templates/overview */
const NewTemplateSchema = Type.Object({
  to: Type.String({
    maxLength: 136,
    description: 'The contact: a phone number with its country code, as 16505551234, or WhatsApp\'s user id, as US.13491208655302741918'
  }),
  language: Type.String({ maxLength: 13, pattern: /^[A-Za-z]{2,3}(?:[_-][A-Za-z0-9]{2,4}){0,2}$/.source, 'x-rule': 'must be a language such as en or en_US', description: 'The template\'s language, as en_US' }),
  variables: Type.Optional(Type.Union([
    Type.Array(Variable, { maxItems: 100 }),
    Type.Record(Type.String(), Variable, { propertyNames: { maxLength: 100, pattern: /^[a-z0-9_]{1,100}$/.source }, maxProperties: 100 })
  ], { 'x-rule': 'must be a list or an object of values', description: 'Values for the variables of the body: a list in their order, or an object by name' })),
  text: Type.Optional(Type.Unsafe<string>({ ...Text(MAX_MESSAGE_LENGTH), description: 'What the conversation shows. Left out: the name of the template and the variables' })),
  client_id: Type.Optional(ClientId)
}, { title: 'NewTemplate' })

const Send = {
  bodyLimit: MESSAGE_BODY_LIMIT,
  schema: {
    tags: ['admin'],
    security: LOGGED_IN,
    operationId: 'sendWhatsAppTemplate',
    summary: 'Sends a template that Meta has approved to a contact on WhatsApp',
    description: 'Answers with the delivery. It is sent by a job, as replies are: `GET /api/admin/deliveries` shows what has become of it.',
    params: Type.Object({ name: Type.String({ maxLength: 512, pattern: /^[a-z0-9_]{1,512}$/.source, 'x-rule': 'may contain only lower-case letters, digits and underscores' }) }),
    headers: ClientIdHeader,
    body: NewTemplateSchema,
    response: answers({ 201: DeliverySchema }, [UNAUTHORIZED, NOT_FOR_GUESTS, NOT_AN_ADMIN, BOT_NOT_FOUND, IDEMPOTENCY_MISMATCH])
  }
}
