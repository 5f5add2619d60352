import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { JobHelpers, TaskList } from 'graphile-worker'
import { createMailer } from '../accounts/mail.js'
import { createRecoveryMail, createTokens } from '../accounts/recovery.js'
import { createRecoveryStore } from '../accounts/recovery-store.js'
import { createTidyStore } from '../accounts/tidy-store.js'
import { createWhatsAppWork } from '../channels/whatsapp/work.js'
import type { Config } from '../config.js'
import type { Db } from '../db/client.js'

export interface TaskDeps {
  config: Config
  db: Db
  /** The one that the app has, so that the app knows the tokens that a mail carries. */
  secret: string
  app: Pick<FastifyInstance, 'converse' | 'regenerate' | 'defaultBot'>
  log: Pick<FastifyBaseLogger, 'debug' | 'info' | 'warn'>
}

/** What the workers can do, by the name that a job is added with. A payload is what the stores put into it. */
export function createTasks ({ config, db, secret, app, log }: TaskDeps): TaskList {
  const recovery = createRecoveryStore(db)
  const sendMail = createRecoveryMail(recovery, createTokens(secret), createMailer(config, log), config)
  const whatsapp = createWhatsAppWork({ config, db, app, log })
  return {
    forgot: payload => recovery.beginReset((payload as { address: string }).address),
    tidy: () => createTidyStore(db).tidy(),
    'send-mail': payload => sendMail((payload as { token: number }).token),
    'whatsapp-inbox': forContact(whatsapp.workOffInbox),
    'whatsapp-send': forContact(whatsapp.sendAll)
  }
}

function forContact (work: (contact: string, job: number) => Promise<void>) {
  return (payload: unknown, { job }: JobHelpers) => work((payload as { contact: string }).contact, Number(job.id))
}
