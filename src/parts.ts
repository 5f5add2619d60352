import type { FastifyBaseLogger } from 'fastify'
import { createBudgets } from './accounts/token-budget-store.ts'
import { sessionCookie } from './accounts/cookie.ts'
import { createIssuers } from './accounts/issuers/issuers.ts'
import { createIssuerStore } from './accounts/issuers/store.ts'
import { createInvitationStore } from './accounts/invitation-store.ts'
import { createKeyStore } from './accounts/keys/key-store.ts'
import { createPasswords } from './accounts/passwords.ts'
import { createProviderUser } from './accounts/provider-user.ts'
import { createRecovery, createTokens } from './accounts/recovery.ts'
import { createRecoveryStore } from './accounts/recovery-store.ts'
import { createSessions } from './accounts/sessions.ts'
import { createSignIn } from './accounts/sign-in.ts'
import { createAccountStore } from './accounts/store.ts'
import { createDirectory, createEngines, defaultBot, guestBot } from './bots/directory.ts'
import { createFencedConnector } from './bots/ssrf-guard.ts'
import { createBotStore } from './conversations/bots/store.ts'
import { createTitles } from './conversations/bots/title.ts'
import type { Sibling } from './channels/socketio/siblings.ts'
import { createConverse } from './conversations/converse.ts'
import { createEvents } from './log/followers.ts'
import { createFeedStore } from './log/feed-store.ts'
import { createReplies } from './replies/replies.ts'
import { createReplyStore } from './replies/store.ts'
import { createTaskReader } from './replies/task-store.ts'
import { createUnstoredReplies } from './replies/unstored.ts'
import { createLog } from './log/log.ts'
import { createMessageStore } from './conversations/messages/store.ts'
import { createConversationStore } from './conversations/store.ts'
import { createSse } from './conversations/live/sse.ts'
import { createStreams } from './conversations/live/streams.ts'
import { createNews } from './conversations/news/news.ts'
import { createNewsStore } from './conversations/news/store.ts'
import { createNewsStreams } from './conversations/news/stream.ts'
import { createUsageStore } from './conversations/usage/store.ts'
import { createListener } from './db/listener.ts'
import { createMetrics } from './metrics/metrics.ts'
import { createMetricsStore } from './metrics/metrics-store.ts'
import { watchReplies } from './metrics/replies.ts'
import { readTrustedIssuers } from './text/trusted-issuers.ts'
import type { Config } from './config.ts'
import type { Db } from './db/client.ts'
import type { Directory } from './bots/bot.ts'

export interface Deps {
  config: Config
  db: Db
  /** Signs the session tokens; at least 32 characters. */
  secret: string
  /** Which of several workers this process is. Left out: the only one. */
  sibling?: Sibling | undefined
  /** Whether this process works on jobs. Left out: other processes do. */
  isWorking?: () => boolean
  /** Replaces some of the bots, for tests. Left out: none. */
  changeBots?: (directory: Directory) => Directory
  /** Left out: no logging. */
  logger?: FastifyBaseLogger
}

/** What the metrics ask the web server. */
interface Gauges { sockets: () => number, isUnderPressure: () => boolean, log: FastifyBaseLogger }

export type Parts = ReturnType<typeof createParts>

/** Creates the parts of the server, from the database up. None of them knows about HTTP requests. */
export function createParts ({ config, db, secret, changeBots = directory => directory }: Deps, { sockets, isUnderPressure, log: logger }: Gauges) {
  const listener = createListener(db, logger)
  const sessions = createSessions(db, listener)
  const issuers = createIssuers({
    issuers: readTrustedIssuers(config.TRUSTED_ISSUERS)!,
    adminClaim: config.ADMIN_CLAIM,
    store: createIssuerStore(db),
    createConnector: createFencedConnector,
    log: logger
  })
  const keys = createKeyStore(db, sessions, listener)
  const accounts = createAccountStore(db, sessions)
  const passwords = createPasswords(config)
  const invitations = createInvitationStore(db)
  const signIn = createSignIn({ accounts, passwords, invitations, policy: config.SIGNUP })
  const budgets = createBudgets(db, config)
  const recoveries = createRecoveryStore(db)
  const recovery = createRecovery(recoveries, createTokens(secret, config.JWT_SECRET_PREVIOUS), passwords, sessions)
  const feeds = createFeedStore(db)
  const events = createEvents(listener, feeds, logger)
  const messages = createMessageStore(db, events.changed)
  const bots = createBotStore(db)
  const usage = createUsageStore(db)
  const engines = createEngines(config)
  const metrics = createMetrics({
    db,
    store: createMetricsStore(db),
    open: { sockets, streams: () => streams.count(), generations: () => generation.count(), busy: () => Number(isUnderPressure()) }
  })
  const directory = watchReplies(changeBots(createDirectory(engines)), metrics)
  const titleOf = createTitles(directory, defaultBot(config))
  const conversations = createConversationStore(db, { ofUsers: defaultBot(config), ofGuests: guestBot(config) }, titleOf, events.changed)
  const replyStore = createReplyStore(db)
  const providerUser = createProviderUser(secret)
  const generation = createReplies({
    store: replyStore,
    tasks: createTaskReader(db),
    directory,
    events,
    listener,
    log: logger,
    budgets,
    most: config.MAX_GENERATIONS,
    spent: metrics.spent,
    providerUser
  })
  const unstored = createUnstoredReplies({ generation, store: replyStore, budgets, log: logger, spent: metrics.spent, providerUser })
  const log = createLog(db)
  const converse = createConverse(log, directory, events, generation, budgets)
  const sse = createSse(sessions)
  const streams = createStreams(sse, events, feeds, sessions)
  const newsStore = createNewsStore(db)
  const news = createNews(listener, events, newsStore, logger)
  const newsStreams = createNewsStreams(sse, news)
  const cookie = sessionCookie(config)
  const people = { sessions, issuers, keys, accounts, passwords, invitations, signIn, budgets, recoveries, recovery, cookie }
  const talk = { feeds, events, messages, usage, conversations, generation, unstored, log, converse, streams, newsStore, news, newsStreams }
  return { ...people, ...talk, listener, bots, engines, metrics, directory, titleOf }
}
