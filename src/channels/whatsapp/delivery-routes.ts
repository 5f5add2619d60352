import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { DELIVERY_STATES } from '../../enums.ts'
import { DELIVERY_NOT_FOUND, NOT_AN_ADMIN, NOT_FOR_GUESTS, NOT_TO_RETRY, UNAUTHORIZED } from '../../errors.ts'
import { invalidRequest } from '../../http/faults.ts'
import { linkNext } from '../../http/paging.ts'
import { answers, Id, LOGGED_IN, Nullable, PageQuery, Timestamp } from '../../http/schema.ts'
import type { LedgerStore } from './ledger-store.ts'

/** The ledger of outgoing WhatsApp messages. The scope that registers it is for admins. */
export const deliveryRoutes: FastifyPluginAsyncTypebox<{ ledger: LedgerStore }> =
  async function deliveryRoutes (app, { ledger }) {
    app.get('/', List, async (request, reply) => {
      const { since, ...query } = request.query
      const { page, hasMore } = await ledger.list({ ...query, ...since !== undefined && { since: timeOf(since) } })
      if (hasMore) linkNext(request, reply, { before: page.at(-1)!.id })
      return page
    })

    app.post('/:id/retry', Retry, async ({ user, params }) => ledger.retry(user, params.id))
  }

/** @throws INVALID_REQUEST for a time that does not exist, such as hour 25 */
function timeOf (text: string) {
  const time = new Date(text)
  if (!Number.isNaN(time.getTime())) return time
  throw invalidRequest([{ path: 'since', message: 'must be a time that exists' }])
}

const StateSchema = Type.Enum(DELIVERY_STATES)

export const DeliverySchema = Type.Object({
  id: Id,
  conversation_id: Id,
  message_id: Id,
  part: Type.Integer({ description: 'Which part it is, from 0, of a message that was too long for one' }),
  contact: Type.String({ description: 'WhatsApp\'s user id of the contact, or else the phone number' }),
  whatsapp_id: Nullable(Type.String()),
  state: StateSchema,
  error_code: Nullable(Type.Integer({ description: 'Meta\'s code' })),
  error: Nullable(Type.String()),
  attempts: Type.Integer(),
  created_at: Timestamp,
  updated_at: Timestamp,
  held_since: Type.Unsafe<Date | null>({ type: ['string', 'null'], format: 'date-time', description: 'Set while this delivery waits because WhatsApp accepts no messages from our account: the time since when. `error_code` and `error` have the reason' })
}, { title: 'Delivery' })

const common = { tags: ['admin'], security: LOGGED_IN }
const NOT_YOU = [UNAUTHORIZED, NOT_FOR_GUESTS, NOT_AN_ADMIN]

const List = {
  schema: {
    ...common,
    operationId: 'listDeliveries',
    summary: 'Lists the messages to WhatsApp with their delivery state, newest first',
    querystring: Type.Object({
      limit: PageQuery.properties.limit,
      before: Type.Optional(Type.Integer({ ...Id, description: 'The page before the delivery with this id' })),
      contact: Type.Optional(Type.String({
        minLength: 1, maxLength: 200, pattern: /^[!-~]*$/.source, 'x-rule': 'may contain only printable ASCII characters, and no spaces'
      })),
      state: Type.Optional(StateSchema),
      since: Type.Optional(Type.String({
        maxLength: 24,
        pattern: /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?Z$/.source,
        'x-rule': 'must be a time in UTC such as 2026-11-21T10:00:00Z',
        description: 'Only deliveries created at this time or later, such as 2026-11-21T10:00:00Z'
      }))
    }),
    response: answers({ 200: Type.Array(DeliverySchema) }, NOT_YOU)
  }
}

const Retry = {
  schema: {
    ...common,
    operationId: 'retryDelivery',
    summary: 'Sends a delivery again that failed, or that came when the 24-hour window was closed',
    params: Type.Object({ id: Id }),
    response: answers({ 200: DeliverySchema }, [...NOT_YOU, DELIVERY_NOT_FOUND, NOT_TO_RETRY])
  }
}
