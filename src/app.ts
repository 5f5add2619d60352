import { randomUUID } from 'node:crypto'
import Fastify, { type FastifyBaseLogger, type FastifyError } from 'fastify'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { sql } from 'drizzle-orm'
import { authentication } from './accounts/authentication.js'
import { sessionCookie } from './accounts/cookie.js'
import { createExportStore } from './accounts/export-store.js'
import { exportRoute } from './accounts/export-route.js'
import { passcodeRoutes } from './accounts/passcode-routes.js'
import { createPasswords } from './accounts/passwords.js'
import { profileRoutes } from './accounts/profile-routes.js'
import { createProfileStore } from './accounts/profile-store.js'
import { createRecovery, createTokens } from './accounts/recovery.js'
import { recoveryRoutes } from './accounts/recovery-routes.js'
import { createRecoveryStore } from './accounts/recovery-store.js'
import { accountRoutes } from './accounts/routes.js'
import { createSessions } from './accounts/sessions.js'
import { createSignIn } from './accounts/sign-in.js'
import { createAccountStore } from './accounts/store.js'
import type { Directory } from './bots/bot.js'
import { createDirectory, createEngines, defaultBot } from './bots/directory.js'
import { chatRoutes } from './channels/chat/routes.js'
import { socketio } from './channels/socketio/plugin.js'
import { deliveryRoutes } from './channels/whatsapp/delivery-routes.js'
import { createInboxStore } from './channels/whatsapp/inbox-store.js'
import { createLedgerStore } from './channels/whatsapp/ledger-store.js'
import { whatsappRoutes } from './channels/whatsapp/routes.js'
import type { Config } from './config.js'
import { adminBotRoutes, botRoutes } from './conversations/bot-routes.js'
import { createBotStore } from './conversations/bot-store.js'
import { createConverse, type Converse } from './conversations/converse.js'
import { createEvents } from './conversations/events.js'
import { createFeedStore } from './conversations/feed-store.js'
import { createGeneration, type Generation } from './conversations/generation.js'
import { createGenerationStore } from './conversations/generation-store.js'
import { createLog } from './conversations/log.js'
import { memberRoutes } from './conversations/member-routes.js'
import { createMemberStore } from './conversations/member-store.js'
import { messageRoutes } from './conversations/message-routes.js'
import { createMessageStore } from './conversations/message-store.js'
import { conversationRoutes } from './conversations/routes.js'
import { createConversationStore } from './conversations/store.js'
import { streamRoutes } from './conversations/stream-routes.js'
import { createStreams } from './conversations/streams.js'
import { usageRoutes } from './conversations/usage-routes.js'
import { createUsageStore } from './conversations/usage-store.js'
import { isUnavailable, type Db } from './db/client.js'
import { createListener } from './db/listener.js'
import { NOT_FOUND } from './errors.js'
import { acceptBodies, BODY_LIMIT } from './http/body.js'
import { answerMalformed, createErrorHandler, describeError, type Dialect } from './http/error-handler.js'
import { healthRoutes, refuseWhenClosing } from './http/health.js'
import { limits } from './http/limits.js'
import { countRequests, metricsRoutes } from './http/metrics.js'
import { openapi } from './http/openapi.js'
import { pressure } from './http/pressure.js'
import { page } from './http/page.js'
import { security } from './http/security.js'
import { ignoreUpgrades } from './http/upgrades.js'
import { createMetrics } from './metrics/metrics.js'
import { createMetricsStore } from './metrics/metrics-store.js'
import { watchReplies } from './metrics/replies.js'
import { serializeAlike } from './http/serializer.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** For what comes by another way than a request: the one way that a message takes. */
    converse: Converse
    regenerate: Generation['regenerate']
    /** The bot that answers where nobody says which. */
    defaultBot: string
  }
}

export interface Deps {
  config: Config
  db: Db
  /** Signs the session tokens; at least 32 characters. */
  secret: string
  /** Whether jobs are done. Left out: others do them. */
  isWorking?: () => boolean
  /** Puts other bots into the place of some that there are; left out: none. */
  changeBots?: (directory: Directory) => Directory
  /** Left out: nothing is logged. */
  logger?: FastifyBaseLogger
}

/** The whole server, not yet listening: what exists, in order. Closing it closes the pool. */
export async function buildApp ({ config, db, secret, isWorking, changeBots = directory => directory, logger }: Deps) {
  const handleErrors = (dialect?: Dialect) => createErrorHandler(isUnavailable, dialect)
  const app = Fastify({
    loggerInstance: logger,
    genReqId: () => randomUUID(),
    bodyLimit: BODY_LIMIT,
    pluginTimeout: 30_000, // it counts for closing too, which lets replies end
    trustProxy: config.TRUST_PROXY,
    routerOptions: { maxParamLength: 500 },
    frameworkErrors: handleErrors(),
    clientErrorHandler: answerMalformed,
    return503OnClosing: false // since `refuseWhenClosing` says it in the shape of all errors
  }).withTypeProvider<TypeBoxTypeProvider>()

  const listener = createListener(db, app.log)
  const sessions = createSessions(db, listener)
  const accounts = createAccountStore(db, sessions)
  const passwords = createPasswords(config.BCRYPT_COST)
  const signIn = createSignIn(accounts, passwords)
  const recoveries = createRecoveryStore(db)
  const recovery = createRecovery(recoveries, createTokens(secret, config.JWT_SECRET_PREVIOUS), passwords, sessions)
  const feeds = createFeedStore(db)
  const events = createEvents(listener, feeds, app.log)
  const messages = createMessageStore(db, events.changed)
  const conversations = createConversationStore(db, defaultBot(config))
  const bots = createBotStore(db)
  const engines = createEngines(config)
  const metrics = createMetrics({
    db,
    store: createMetricsStore(db),
    open: { sockets: () => app.countSockets(), streams: () => streams.count(), generations: () => generation.count(), busy: () => Number(app.isUnderPressure()) }
  })
  const directory = watchReplies(changeBots(createDirectory(engines)), metrics)
  const generation = createGeneration({ store: createGenerationStore(db), directory, events, listener, log: app.log, most: config.MAX_GENERATIONS })
  const converse = createConverse(createLog(db), directory, events, generation)
  app.decorate('converse', converse)
  app.decorate('regenerate', generation.regenerate)
  app.decorate('defaultBot', defaultBot(config))
  const streams = createStreams(sessions, events, feeds)
  const cookie = sessionCookie(config)

  app.setErrorHandler(handleErrors())
  app.setNotFoundHandler(async () => { throw new NOT_FOUND() })
  countRequests(app, metrics)
  refuseWhenClosing(app)
  acceptBodies(app)
  ignoreUpgrades(app)
  serializeAlike(app)
  await app.register(security, { config, cookieName: cookie.name })
  await app.register(pressure, { config })
  await app.register(limits, { config })
  await app.register(openapi, { cookieName: cookie.name })
  await app.register(authentication, { sessions, secret, formerSecret: config.JWT_SECRET_PREVIOUS, cookie })

  const describe = (error: FastifyError) => describeError(error, isUnavailable, app.log)
  await app.register(socketio, { config, cookieName: cookie.name, sessions, conversations, feeds, events, converse, describe })

  await app.register(page)
  await app.register(healthRoutes, { isWorking, isReady: () => db.execute(sql`SELECT 1`) })
  await app.register(metricsRoutes, { config, metrics })
  for (const prefix of ['', '/api']) {
    await app.register(chatRoutes, { prefix, config, accounts, conversations, converse, streams, handleErrors })
    await app.register(whatsappRoutes, { prefix, config, inbox: createInboxStore(db), handleErrors })
  }
  await app.register(passcodeRoutes, { signIn, handleErrors })
  await app.register(accountRoutes, { prefix: '/api', signIn })
  await app.register(recoveryRoutes, { prefix: '/api', recovery, recoveries })
  await app.register(async function authenticated (users) {
    users.addHook('onRequest', users.authenticate)
    await users.register(conversationRoutes, { prefix: '/api/conversations', conversations })
    await users.register(messageRoutes, { prefix: '/api/conversations/:id/messages', messages, feeds, converse, generation, streams })
    await users.register(streamRoutes, { prefix: '/api/conversations/:id', streams, generation, messages })
    await users.register(async function signedUp (members) {
      members.addHook('onRequest', members.refuseGuests)
      await members.register(profileRoutes, { prefix: '/api/me', profiles: createProfileStore(db, sessions), sessions, passwords })
      await members.register(usageRoutes, { prefix: '/api/me', usage: createUsageStore(db) })
      await members.register(exportRoute, { prefix: '/api/me', exported: createExportStore(db) })
      await members.register(memberRoutes, { prefix: '/api/conversations/:id', members: createMemberStore(db, messages, events.changed) })
      await members.register(botRoutes, { prefix: '/api/bots', bots })
      await members.register(async function administered (admins) {
        admins.addHook('onRequest', admins.refuseNonAdmins)
        await admins.register(adminBotRoutes, { prefix: '/api/admin/bots', bots, engines })
        await admins.register(deliveryRoutes, { prefix: '/api/admin/deliveries', ledger: createLedgerStore(db) })
      })
    })
  })

  app.addHook('onReady', async () => {
    listener.start()
    generation.start()
  })
  app.addHook('preClose', async () => {
    await generation.close()
    streams.close() // by now the readers have seen how the replies ended
  })
  app.addHook('onClose', async () => {
    await events.settle()
    for (const { close } of Object.values(engines)) await close?.()
    await listener.close()
    await db.$client.end()
  })
  return app
}
