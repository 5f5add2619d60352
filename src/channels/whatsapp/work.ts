import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { createIdentityStore } from '../../accounts/identity-store.js'
import type { Config } from '../../config.js'
import type { Db } from '../../db/client.js'
import { createTurns } from '../../db/turns.js'
import { createWhatsAppClient } from './client.js'
import { createSender } from './deliveries.js'
import { createDeliveryStore } from './deliveries-store.js'
import { createInbox } from './inbox.js'
import { createInboxStore } from './inbox-store.js'

export interface WorkOptions {
  config: Config
  db: Db
  app: Pick<FastifyInstance, 'converse' | 'regenerate' | 'defaultBot'>
  log: Pick<FastifyBaseLogger, 'debug' | 'warn'>
}

/** What jobs do for WhatsApp: both are given a contact, and the id of the job. */
export function createWhatsAppWork ({ config, db, app, log }: WorkOptions) {
  const deliveries = createDeliveryStore(db)
  const turns = createTurns(db)
  const { converse, regenerate } = app
  const bot = config.WHATSAPP_BOT ?? config.GUEST_BOT ?? app.defaultBot
  const client = createWhatsAppClient(config, log)

  return {
    workOffInbox: createInbox({
      inbox: createInboxStore(db), deliveries, identities: createIdentityStore(db), turns, converse, regenerate, client, bot
    }),
    sendAll: createSender({ deliveries, turns, client, log })
  }
}
