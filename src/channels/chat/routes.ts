import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { AccountStore } from '../../accounts/store.js'
import type { Converse } from '../../conversations/converse.js'
import type { createErrorHandler, Dialect } from '../../http/error-handler.js'
import { createPhoneChat, inBothSeedsWords, PhoneChat } from './phone.js'

export interface ChatRoutesOptions {
  accounts: AccountStore
  converse: Converse
  handleErrors: (dialect: Dialect) => ReturnType<typeof createErrorHandler>
}

/** `POST /chat`: the guided chat by phone number. Nobody logs in here. */
export const chatRoutes: FastifyPluginAsyncTypebox<ChatRoutesOptions> =
  async function chatRoutes (app, { accounts, converse, handleErrors }) {
    const chatByPhone = createPhoneChat(accounts, converse)

    app.setErrorHandler(handleErrors(inBothSeedsWords))

    app.post('/chat', PhoneChat, async ({ headers, body }) =>
      chatByPhone({ ...body, client_id: headers['idempotency-key'] ?? body.client_id }))
  }
