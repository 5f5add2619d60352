import closeWithGrace from 'close-with-grace'
import pino from 'pino'
import { setTimeout as sleep } from 'node:timers/promises'
import { hasAdmin } from './accounts/admin-store.ts'
import { cookieWarnings } from './accounts/cookie.ts'
import { readOrMakeSecret } from './accounts/secret.ts'
import { createTidyStore } from './accounts/tidy-store.ts'
import { buildApp } from './app.ts'
import { DEFAULT_ORIGINS, missingForWhatsApp, notesOn, readConfig, signInWarnings, wantsTraces, type Config } from './config.ts'
import { createBotStore } from './conversations/bots/store.ts'
import { createDb, reachDatabase, type Db } from './db/client.ts'
import { migrateUp } from './db/migrate.ts'
import { CANNOT_START } from './errors.ts'
import { loggerOptions } from './http/logging.ts'
import { introduce } from './introduction.ts'
import { createTasks } from './jobs/tasks.ts'
import { startWorker, type Worker } from './jobs/worker.ts'
import { letGrow } from './v8-flags.ts'
import { countWorkers, createWorkers, readSeat } from './workers.ts'

/** How long closing may take in total, and how much of that the requests in progress may take, in milliseconds. */
const GRACE = { all: 18_000, requests: 10_000 }

/** Functions that close what was opened. They are called in reverse order, on a signal or when the start fails. */
const opened: Array<() => Promise<unknown>> = []
let isClosing = false

async function closeAll () {
  for (const close of opened.splice(0).reverse()) await close()
}

/** Signals that a terminal sends to all of its processes. Workers ignore them, because the primary stops the workers. */
const TERMINAL_SIGNALS = ['SIGHUP', 'SIGINT', 'SIGQUIT'] as const

/** How many connections a process needs beside its pool: for notifications, for jobs, and for the lock that counts processes. */
const CONNECTIONS_BESIDE_POOL = 10

async function serve (config: Config) {
  const log = pino(loggerOptions(config, process.stdout.isTTY))
  const seat = readSeat()
  const isFirst = seat === undefined || seat.number === 1
  const workers = seat === undefined ? countWorkers(config) : 1
  if (seat !== undefined) for (const signal of TERMINAL_SIGNALS) process.on(signal, () => {})
  const { close } = closeWithGrace({ delay: GRACE.all, logger: log, skip: seat === undefined ? [] : [...TERMINAL_SIGNALS, 'SIGTERM'] }, async ({ err }) => {
    isClosing = true
    if (err !== undefined) log.fatal({ err }, 'Uncaught error: the server stops')
    await closeAll()
  })
  // A service manager may send SIGTERM to all processes, and the primary then sends it again. With a second one close-with-grace would break off.
  if (seat !== undefined) process.on('SIGTERM', () => { if (!isClosing) close() })

  if (wantsTraces()) {
    const { startTracing } = await import('./tracing.ts')
    opened.push(startTracing(log))
  }
  const settings: Record<string, string> = workers > 1 ? { max_connections: `${100 + workers * (config.DATABASE_POOL + CONNECTIONS_BESIDE_POOL)}` } : {}
  const reaching = reachDatabase(config, log, undefined, settings)
  // Register this before the database has started. Otherwise a signal during the start would leave the embedded database running.
  if (config.DATABASE_URL === undefined) opened.push(() => reaching.then(({ leave }) => leave(), () => {}))
  const { connection, title } = await reaching
  if (seat === undefined) await migrateUp(connection, log)

  if (isFirst && workers === 1) warn(config, log)
  const secret = config.JWT_SECRET ?? await readOrMakeSecret(config.DATA_DIR)
  if (workers > 1) return await lead(workers, log)

  const db = createDb({ ...connection, max: config.DATABASE_POOL }, log)
  await db.$client.query('SELECT 1') // opens the pool's first connection, which shows `make clean_db` and the like that the server is running
  if (isFirst) await createTidyStore(db).begin()
  if (isFirst) await warnOfMissingBots(config, db, log)
  let worker: Worker | undefined
  const app = await buildApp({ config, secret, logger: log, db, sibling: seat, ...isFirst && { isWorking: () => worker!.isWorking() } })
  if (isFirst) {
    const { stop } = worker = await startWorker({ connection, tasks: createTasks({ config, db, secret, app, log }), log })
    // Stop the jobs while requests in progress end: both need the pool, which closes after them.
    app.addHook('preClose', async () => { stop() })
    app.addHook('onClose', stop)
  }
  let hasClosed: Promise<unknown> | undefined
  app.addHook('onClose', async () => { await hasClosed })
  opened.push(() => {
    app.server.keepAliveTimeout = 1 // otherwise we would wait for clients that keep idle connections open
    // Stop listening before anything else, so that a proxy uses another instance at once, even while requests are in progress here.
    hasClosed = new Promise(resolve => app.server.close(resolve))
    return Promise.race([app.close(), sleep(GRACE.requests)])
  })
  const address = await app.listen({ host: config.HOST, port: config.PORT }).catch(explain)
  if (isFirst) introduce(config, { address, database: title, bot: app.defaultBot, hasAdmin: await hasAdmin(db) }, log, process.stdout)
  letGrow()

  function explain (error: NodeJS.ErrnoException): never {
    const { code, message } = error
    throw new CANNOT_START(code === 'EADDRINUSE'
      ? `Port ${config.PORT} is in use: stop what uses it, or choose another one: make run PORT=${config.PORT + 1}`
      : `Cannot listen on ${config.HOST}, port ${config.PORT}: ${message}. Please check HOST and PORT.`, { cause: error })
  }
}

/** Starts the workers. This process keeps its hold on the embedded database for as long as they run. */
async function lead (count: number, log: pino.Logger) {
  const workers = createWorkers(log)
  opened.push(workers.stop)
  if (!await workers.start(count)) throw new CANNOT_START('The server ends, because one of its workers could not start.')
}

function warn (config: Config, log: pino.Logger) {
  if (config.DATABASE_URL !== undefined && config.JWT_SECRET === undefined) {
    log.warn('JWT_SECRET is not set: several instances on this database must have the same secret, or each refuses the sessions of the others')
  }
  if (missingForWhatsApp(config).length > 0) log.warn(`WhatsApp is set up in part only, and does not work without ${missingForWhatsApp(config).join(' and ')}`)
  for (const warning of [...signInWarnings(config), ...notesOn()]) log.warn(warning)
  for (const { level, sentence } of cookieWarnings(config, DEFAULT_ORIGINS)) log[level](sentence)
}

/** Warns of settings that name a bot that does not exist. Messages to it would be refused with BOT_NOT_FOUND. */
async function warnOfMissingBots (config: Config, db: Db, log: pino.Logger) {
  const settings = (['GUEST_BOT', 'PHONE_BOT', 'WHATSAPP_BOT'] as const).filter(name => config[name] !== undefined)
  const missing = await createBotStore(db).missing(settings.map(name => config[name]!))
  for (const setting of settings) {
    if (missing.includes(config[setting]!)) log.warn(`${setting} names a bot that does not exist: ${config[setting]}`)
  }
}

try {
  await serve(readConfig())
} catch (error) {
  // If a signal arrived during the start, it caused this error, and `closeAll` is running already.
  if (!isClosing) await giveUp(error)
}

async function giveUp (error: unknown) {
  await closeAll()
  if (!(error instanceof CANNOT_START)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
}
