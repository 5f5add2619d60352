import type { FastifyInstance } from 'fastify'
import { sql } from 'drizzle-orm'
import { createAdminLogStore } from './accounts/admin-log-store.ts'
import { adminRoutes } from './accounts/admin-routes.ts'
import { createAdminUserStore } from './accounts/admin-user-store.ts'
import { createExportStore } from './accounts/export-store.ts'
import { exportRoute } from './accounts/export-route.ts'
import { createIdentityStore } from './accounts/identity-store.ts'
import { keyRoutes } from './accounts/keys/routes.ts'
import { keyUserRoutes } from './accounts/keys/user-routes.ts'
import { createPersonalKeyStore } from './accounts/keys/personal-key-store.ts'
import { personalKeyRoutes } from './accounts/keys/personal-routes.ts'
import { createKeyUserStore } from './accounts/keys/user-store.ts'
import { createIssuerStore } from './accounts/issuers/store.ts'
import { oidcRoutes } from './accounts/oidc/routes.ts'
import { passcodeRoutes } from './accounts/passcode-routes.ts'
import { profileRoutes, removalRoute } from './accounts/profile-routes.ts'
import { createProfileStore } from './accounts/profile-store.ts'
import { originOf } from './accounts/recovery.ts'
import { recoveryRoutes } from './accounts/recovery-routes.ts'
import { accountRoutes } from './accounts/routes.ts'
import { createFencedConnector } from './bots/ssrf-guard.ts'
import { agUiRoutes } from './channels/ag-ui/routes.ts'
import { createRuns } from './channels/ag-ui/runs.ts'
import { createUiChats } from './channels/ai-sdk/chat.ts'
import { uiChatRoutes } from './channels/ai-sdk/routes.ts'
import { createCompletions } from './channels/openai/completion.ts'
import { openAiRoutes } from './channels/openai/routes.ts'
import { chatRoutes } from './channels/chat/routes.ts'
import { createExchanges } from './channels/exchanges/exchanges.ts'
import { createExchangeStore } from './channels/exchanges/store.ts'
import { deliveryRoutes } from './channels/whatsapp/delivery-routes.ts'
import { createInboxStore } from './channels/whatsapp/inbox-store.ts'
import { createLedgerStore } from './channels/whatsapp/ledger-store.ts'
import { createHoldStore, describeHold } from './channels/whatsapp/holds-store.ts'
import { deliverPost } from './channels/whatsapp/post-delivery-store.ts'
import { whatsappRoutes } from './channels/whatsapp/routes.ts'
import { templateRoutes } from './channels/whatsapp/template-routes.ts'
import { createTemplateStore } from './channels/whatsapp/template-store.ts'
import { mustFit } from './conversations/addressed.ts'
import { adminBotRoutes, botRoutes } from './conversations/bots/routes.ts'
import { memberRoutes } from './conversations/members/routes.ts'
import { createMemberStore } from './conversations/members/store.ts'
import { createPostStore } from './conversations/messages/post-store.ts'
import { messageRoutes, sendRoute } from './conversations/messages/routes.ts'
import { conversationRoutes } from './conversations/routes.ts'
import { streamRoutes } from './conversations/live/routes.ts'
import { newsRoutes, readRoutes } from './conversations/news/routes.ts'
import { adminUsageRoutes, usageRoutes } from './conversations/usage/routes.ts'
import { healthRoutes } from './http/health.ts'
import { metricsRoutes } from './http/metrics.ts'
import { clientFiles } from './http/client-files.ts'
import { page } from './http/page.ts'
import type { createErrorHandler, Dialect } from './http/error-handler.ts'
import type { Deps, Parts } from './parts.ts'

/** Makes the error handler of a scope. `dialect` adds fields to each error, for clients that expect another format. */
export type ErrorHandlers = (dialect?: Dialect) => ReturnType<typeof createErrorHandler>

/** Registers every route inside the scope whose checks it needs. */
export async function registerRoutes (app: FastifyInstance, { config, db, secret, isWorking }: Deps, parts: Parts, handleErrors: ErrorHandlers): Promise<void> {
  const { sessions, keys, accounts, passwords, invitations, signIn, recoveries, recovery, feeds, events, messages, bots, usage, engines, metrics, directory, titleOf, conversations, generation, unstored, converse, streams, newsStore, news, newsStreams } = parts
  await app.register(page)
  await app.register(clientFiles)
  await app.register(healthRoutes, { isWorking, isReady: () => db.execute(sql`SELECT 1`), details: async () => describeHold(await createHoldStore(db).current()) })
  await app.register(metricsRoutes, { config, metrics })
  const identities = createIdentityStore(db, 'phone')
  const mustFitBots = async (user: number, id: number, text: string) => mustFit(directory, await bots.of(user, id), text)
  const exchangeStore = createExchangeStore(db, events.changed)
  const exchanges = createExchanges({ conversations, exchanges: exchangeStore, converse, isStreaming: app.isStreaming })
  const chats = createUiChats({ exchanges, messages, store: exchangeStore, generation, streams, mustFitBots })
  const runs = createRuns({ exchanges, store: exchangeStore, messages, generation, streams })
  for (const prefix of ['', '/api']) {
    await app.register(chatRoutes, { prefix, config, accounts, identities, serverKeys: keys, conversations, converse, streams, chats, handleErrors })
    await app.register(whatsappRoutes, { prefix, config, inbox: createInboxStore(db), handleErrors })
  }
  const profiles = createProfileStore(db, sessions)
  const metadataOf = async (userId: number) => (await profiles.get(userId)).metadata
  await app.register(openAiRoutes, { prefix: '/v1', bots, directory, completions: createCompletions({ unstored, sessions, keys }), metadataOf, handleErrors })
  await app.register(passcodeRoutes, { signIn, handleErrors })
  await app.register(accountRoutes, { prefix: '/api', config, signIn })
  await app.register(oidcRoutes, { prefix: '/api/oidc', config, secret, users: createIssuerStore(db), createConnector: createFencedConnector })
  await app.register(recoveryRoutes, { prefix: '/api', recovery, recoveries })
  const adminUsers = createAdminUserStore(db, sessions)
  await app.register(keyUserRoutes, { prefix: '/api/users', users: createKeyUserStore(db, adminUsers), keys })
  const posts = createPostStore(db, { changed: events.changed, deliver: deliverPost })
  await app.register(sendRoute, { prefix: '/api/conversations/:id/messages', converse, streams, posts })
  await app.register(async function authenticated (users) {
    users.addHook('onRequest', users.authenticate)
    await users.register(conversationRoutes, { prefix: '/api/conversations', conversations })
    await users.register(messageRoutes, { prefix: '/api/conversations/:id/messages', messages, feeds, generation, mustFitBots })
    await users.register(streamRoutes, { prefix: '/api/conversations/:id', streams, generation, messages })
    await users.register(newsRoutes, { prefix: '/api', newsStreams })
    await users.register(readRoutes, { prefix: '/api/conversations/:id', newsStore, news })
    await users.register(agUiRoutes, { prefix: '/api/ag-ui', runs, generation })
    for (const prefix of ['', '/api']) await users.register(uiChatRoutes, { prefix, chats, messages, generation, handleErrors })
    await users.register(removalRoute, { prefix: '/api/me', profiles, passwords })
    await users.register(async function signedUp (members) {
      members.addHook('onRequest', members.refuseGuests)
      await members.register(profileRoutes, { prefix: '/api/me', profiles, sessions, passwords })
      await members.register(personalKeyRoutes, { prefix: '/api/me/keys', keys: createPersonalKeyStore(db, sessions) })
      await members.register(usageRoutes, { prefix: '/api/me', usage })
      await members.register(exportRoute, { prefix: '/api/me', exported: createExportStore(db), sessions })
      await members.register(memberRoutes, { prefix: '/api/conversations/:id', members: createMemberStore(db, messages, events.changed, titleOf) })
      await members.register(botRoutes, { prefix: '/api/bots', bots, titleOf })
      await members.register(async function administered (admins) {
        admins.addHook('onRequest', admins.refuseNonAdmins)
        await admins.register(adminRoutes, {
          prefix: '/api/admin', users: adminUsers, invitations, log: createAdminLogStore(db), signIn, origin: originOf(config), locked: generation.stopFor
        })
        await admins.register(keyRoutes, { prefix: '/api/admin/keys', keys })
        await admins.register(adminUsageRoutes, { prefix: '/api/admin', usage })
        await admins.register(adminBotRoutes, { prefix: '/api/admin/bots', bots, engines })
        await admins.register(deliveryRoutes, { prefix: '/api/admin/deliveries', ledger: createLedgerStore(db) })
        await admins.register(templateRoutes, { prefix: '/api/admin/whatsapp/templates', templates: createTemplateStore(db, app.whatsappBot, events.changed) })
      })
    })
  })
}
