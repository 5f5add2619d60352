import type { FastifyBaseLogger } from 'fastify'
import type { TaskList } from 'graphile-worker'
import { createMailer } from '../accounts/mail.js'
import { createRecoveryMail, createTokens } from '../accounts/recovery.js'
import { createRecoveryStore } from '../accounts/recovery-store.js'
import { createTidyStore } from '../accounts/tidy-store.js'
import type { Config } from '../config.js'
import type { Db } from '../db/client.js'

export interface TaskDeps {
  config: Config
  db: Db
  /** The one that the app has, so that the app knows the tokens that a mail carries. */
  secret: string
  log: Pick<FastifyBaseLogger, 'info'>
}

/** What the workers can do, by the name that a job is added with. A payload is what the stores put into it. */
export function createTasks ({ config, db, secret, log }: TaskDeps): TaskList {
  const recovery = createRecoveryStore(db)
  const sendMail = createRecoveryMail(recovery, createTokens(secret), createMailer(config, log), config)
  return {
    forgot: payload => recovery.beginReset((payload as { address: string }).address),
    tidy: () => createTidyStore(db).tidy(),
    'send-mail': payload => sendMail((payload as { token: number }).token)
  }
}
