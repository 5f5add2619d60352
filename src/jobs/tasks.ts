import type { FastifyBaseLogger } from 'fastify'
import type { JobHelpers, TaskList } from 'graphile-worker'
import { createMailer, isRefused, type MailError } from '../accounts/mail.ts'
import { createRecoveryMail, createTokens } from '../accounts/recovery.ts'
import { createRecoveryStore } from '../accounts/recovery-store.ts'
import { createTidyStore } from '../accounts/tidy-store.ts'
import { createWhatsAppWork, type WorkOptions } from '../channels/whatsapp/work.ts'
import type { Config } from '../config.ts'
import type { Db } from '../db/client.ts'
import { tryAgainSoon } from '../db/jobs.ts'

export interface TaskDeps {
  config: Config
  db: Db
  /** The app's secret, which signs the tokens in mails. The app must be able to verify them. */
  secret: string
  app: WorkOptions['app']
  log: Pick<FastifyBaseLogger, 'debug' | 'info' | 'warn'>
}

/** The functions that jobs run, by the name with which a job is added. The stores that add a job decide its payload. */
export function createTasks ({ config, db, secret, app, log }: TaskDeps): TaskList {
  const recovery = createRecoveryStore(db)
  const sendMail = createRecoveryMail(recovery, createTokens(secret), createMailer(config, log), config)
  const whatsapp = createWhatsAppWork({ config, db, app, log })
  return {
    forgot: payload => recovery.beginReset((payload as { address: string }).address),
    tidy: () => createTidyStore(db).tidy({ retentionDays: config.RETENTION_GUESTS, sessions: app.sessions }),
    'send-mail': async (payload, { job }) => {
      try {
        await sendMail((payload as { token: number }).token)
      } catch (error) {
        // The link in the mail is valid for an hour or a day. Pauses that grow to hours would outlast it.
        if (!isRefused(error as MailError)) await tryAgainSoon(db, Number(job.id))
        throw error
      }
    },
    'whatsapp-inbox': forContact(whatsapp.workOffInbox),
    'whatsapp-send': forContact(whatsapp.sendAll),
    'whatsapp-probe': (_payload, { job }) => whatsapp.probe(Number(job.id))
  }
}

function forContact (work: (contact: string, job: number) => Promise<void>) {
  return (payload: unknown, { job }: JobHelpers) => work((payload as { contact: string }).contact, Number(job.id))
}
