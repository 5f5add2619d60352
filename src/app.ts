import { randomUUID } from 'node:crypto'
import Fastify, { type FastifyError, type FastifyInstance } from 'fastify'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { authentication } from './accounts/authentication.ts'
import type { Sessions } from './accounts/sessions.ts'
import { defaultBot, guestBot } from './bots/directory.ts'
import { socketio } from './channels/socketio/plugin.ts'
import type { Config } from './config.ts'
import { createAmend, type Amend } from './conversations/messages/amend.ts'
import type { Converse } from './conversations/converse.ts'
import type { Replies } from './replies/replies.ts'
import type { Log } from './log/log.ts'
import { isUnavailable } from './db/client.ts'
import { createProxyTrust } from './http/address.ts'
import { refuseUnknown } from './http/allow.ts'
import { answerBriefly } from './http/brief-answers.ts'
import { acceptBodies } from './http/body.ts'
import { BODY_LIMIT } from './http/body-limits.ts'
import { answerMalformed, createErrorHandler, describeError, type Dialect } from './http/error-handler.ts'
import { ignoreExpectations } from './http/expectations.ts'
import { refuseWhenClosing } from './http/health.ts'
import { OneLineLogController } from './http/logging.ts'
import { limits } from './http/rate-limit.ts'
import { ROUTER_PARAM_LENGTH, refuseMalformed, replaceMalformed } from './http/malformed.ts'
import { countRequests } from './http/metrics.ts'
import { openapi } from './http/openapi.ts'
import { pressure } from './http/pressure.ts'
import { security } from './http/security.ts'
import { closeUnusedConnections } from './http/unused-connections.ts'
import { ignoreUpgrades } from './http/upgrades.ts'
import { serializeAlike } from './http/serializer.ts'
import { shares } from './http/shares.ts'
import { createParts, type Deps, type Parts } from './parts.ts'
import { registerRoutes } from './routes.ts'

export type { Deps }

declare module 'fastify' {
  interface FastifyInstance {
    /** Handles a message, for channels whose messages do not arrive as requests. */
    converse: Converse
    /** Asks a bot again for a reply that was interrupted. */
    regenerate: Replies['resume']
    /** Whether the bot of this name streams its replies; false where there is none. */
    isStreaming: (bot: string) => Promise<boolean>
    sessions: Sessions
    amend: Amend
    recall: Log['recall']
    /** The bot of conversations that name none. */
    defaultBot: string
    /** The bot that answers on WhatsApp. */
    whatsappBot: string
  }
}

/** Builds the whole server, not yet listening. Closing it closes the database pool. */
export async function buildApp (deps: Deps) {
  const { config, db, secret, logger, sibling } = deps
  const handleErrors = (dialect?: Dialect) => createErrorHandler(isUnavailable, dialect)
  const app = Fastify({
    loggerInstance: logger,
    logController: new OneLineLogController(),
    genReqId: () => randomUUID(),
    bodyLimit: BODY_LIMIT,
    pluginTimeout: 30_000, // also the limit for closing, which waits for replies to end
    trustProxy: config.TRUST_PROXY && createProxyTrust(config.TRUST_PROXY),
    requestTimeout: config.REQUEST_TIMEOUT * 1000,
    // Node looks every 30 s by default, and takes the longer one of the two times for the whole request.
    // `refuseMalformed` answers a request without a Host; Node would do it before our hooks.
    http: { requireHostHeader: false, headersTimeout: config.REQUEST_TIMEOUT * 1000, requestTimeout: config.REQUEST_TIMEOUT * 1000, connectionsCheckingInterval: Math.min(config.REQUEST_TIMEOUT * 100, 5_000) },
    routerOptions: { maxParamLength: ROUTER_PARAM_LENGTH },
    rewriteUrl: replaceMalformed,
    frameworkErrors: handleErrors(),
    clientErrorHandler: answerMalformed,
    return503OnClosing: false // `refuseWhenClosing` answers instead, in the usual error format
  }).withTypeProvider<TypeBoxTypeProvider>()

  const parts = createParts(deps, { sockets: () => app.countSockets(), isUnderPressure: () => app.isUnderPressure(), log: app.log })
  const { listener, sessions, issuers, keys, feeds, events, engines, metrics, conversations, generation, converse, streams, news, cookie } = parts
  decorate(app, config, parts)

  app.setErrorHandler(handleErrors())
  const refuse = refuseUnknown(app)
  countRequests(app, metrics)
  acceptBodies(app)
  refuseWhenClosing(app)
  ignoreUpgrades(app)
  ignoreExpectations(app)
  serializeAlike(app)
  await app.register(security, { config, cookieName: cookie.name })
  await app.register(pressure, { config })
  await app.register(limits, { config })
  await app.register(shares, { config })
  refuseMalformed(app)
  app.addHook('onRequest', refuse)
  await app.register(answerBriefly)
  await app.register(openapi, { cookieName: cookie.name })
  await app.register(authentication, { sessions, issuers, keys, secret, formerSecret: config.JWT_SECRET_PREVIOUS, passwords: config.PASSWORDS, cookie })

  const describe = (error: FastifyError) => describeError(error, isUnavailable, app.log)
  await app.register(socketio, { config, sibling, cookieName: cookie.name, sessions, conversations, feeds, events, news, converse, describe })

  app.addHook('preClose', async () => {
    await generation.close()
    streams.close() // by now the readers have seen how the replies ended
  })
  closeUnusedConnections(app)
  await registerRoutes(app, deps, parts, handleErrors)

  app.addHook('onReady', async () => {
    listener.start()
    generation.start()
  })
  app.addHook('onClose', async () => {
    await events.settle()
    await news.settle()
    for (const { close } of Object.values(engines)) await close?.()
    await listener.close()
    await issuers.close()
    await db.$client.end()
  })
  return app
}

/** Decorators for plugins that other plugins register. */
function decorate (app: FastifyInstance, config: Config, { sessions, messages, bots, directory, generation, log, converse }: Parts) {
  app.decorate('converse', converse)
  app.decorate('regenerate', generation.resume)
  app.decorate('amend', createAmend(log, messages, generation))
  app.decorate('recall', log.recall)
  app.decorate('sessions', sessions)
  app.decorate('defaultBot', defaultBot(config))
  app.decorate('whatsappBot', config.WHATSAPP_BOT ?? guestBot(config))
  app.decorate('isStreaming', async name => {
    const row = await bots.named(name)
    return row !== undefined && directory(row).kind === 'streaming'
  })
}
