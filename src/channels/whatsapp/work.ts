import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { createIdentityStore } from '../../accounts/identity-store.ts'
import type { Config } from '../../config.ts'
import type { Db } from '../../db/client.ts'
import { createJobLocks } from '../../db/job-lock.ts'
import { createWhatsAppClient } from './client.ts'
import { createSender } from './deliveries.ts'
import { createDeliveryStore } from './deliveries-store.ts'
import { createHoldStore } from './holds-store.ts'
import { createInbox } from './inbox.ts'
import { createInboxStore } from './inbox-store.ts'
import { createProbe } from './probe.ts'

export interface WorkOptions {
  config: Config
  db: Db
  app: Pick<FastifyInstance, 'converse' | 'regenerate' | 'isStreaming' | 'amend' | 'recall' | 'whatsappBot' | 'sessions'>
  log: Pick<FastifyBaseLogger, 'debug' | 'info' | 'warn'>
}

/** Makes the functions that WhatsApp's jobs run. Each gets the id of the job; those for one contact get the contact first. */
export function createWhatsAppWork ({ config, db, app, log }: WorkOptions) {
  const deliveries = createDeliveryStore(db, problem => {
    log.warn(problem, 'WhatsApp refuses all messages from our account. They are held, and one is tried every minute')
  })
  const locks = createJobLocks(db)
  const client = createWhatsAppClient(config, log)
  const sendAll = createSender({ deliveries, locks, client, log })

  return {
    workOffInbox: createInbox({
      inbox: createInboxStore(db), deliveries, identities: createIdentityStore(db, 'whatsapp'), locks, log: app, isStreaming: app.isStreaming, client, bot: app.whatsappBot
    }),
    sendAll: (contact: string, job: number) => sendAll(contact, job),
    probe: createProbe({ holds: createHoldStore(db), locks, sendOne: sendAll, log })
  }
}
