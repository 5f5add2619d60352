import type { FastifyBaseLogger } from 'fastify'
import type { Turns } from '../../db/turns.js'
import type { WhatsAppClient } from './client.js'
import type { DeliveryStore, NextDelivery } from './deliveries-store.js'
import { partsOf } from './parts.js'

/** In seconds: how long statuses may tell that an attempt without an answer arrived, before it is sent again. */
const PATIENCE = 20

/** In seconds: the longest pause between two attempts. */
const LONGEST_PAUSE = 15 * 60

export interface SenderOptions {
  deliveries: DeliveryStore
  turns: Turns
  client: WhatsAppClient
  log: Pick<FastifyBaseLogger, 'warn'>
}

/** Sends what is queued for a contact, in order: what has to wait holds up what is behind it, what is refused does not. */
export function createSender ({ deliveries, turns, client, log }: SenderOptions) {
  /** Whether the next one may follow. */
  async function send (contact: string, delivery: NextDelivery): Promise<boolean> {
    const { id, part, attempts, phone, errorCode, error, waitSeconds } = delivery
    if (delivery.isUnanswered && !delivery.isInDoubt) return await wait(deliveries.doubt(id, PATIENCE), contact, PATIENCE)
    if (waitSeconds > 0) return await wait(undefined, contact, waitSeconds)

    const witness = delivery.isUnanswered ? await deliveries.witness(id) : undefined
    if (witness !== undefined) return await goOn(deliveries.sent(id, witness))
    const body = partsOf(delivery)[part]
    if (body === undefined) return await goOn(deliveries.refused(id, 'failed', { errorCode: null, error: 'The message was deleted' }))
    if (!delivery.isWindowOpen) return await goOn(deliveries.refused(id, 'window_closed', { errorCode, error }))
    if (delivery.isTooOld) return await goOn(deliveries.refused(id, 'failed', { errorCode, error }))

    await deliveries.begin(id)
    const outcome = await client.send(phone === null ? { userId: contact } : { phone }, body)
    if (outcome.is !== 'sent') log.warn({ delivery: id, outcome }, 'a reply on WhatsApp was not sent')
    switch (outcome.is) {
      case 'sent': return await goOn(deliveries.sent(id, outcome.whatsappId))
      case 'refused': return await goOn(deliveries.refused(id, outcome.state, outcome))
      case 'unknown': return await wait(deliveries.doubt(id, PATIENCE, outcome), contact, PATIENCE)
      case 'later': {
        const pause = Math.max(outcome.afterSeconds, Math.min(4 ** attempts, LONGEST_PAUSE))
        return await wait(deliveries.later(id, pause, outcome), contact, pause)
      }
    }
  }

  async function goOn (noted: Promise<unknown>) {
    await noted
    return true
  }

  async function wait (noted: Promise<unknown> | undefined, contact: string, seconds: number) {
    await noted
    await deliveries.workOffIn(contact, seconds)
    return false
  }

  return async function sendAll (contact: string, job: number): Promise<void> {
    const next = () => deliveries.next(contact)
    await turns.workAlone(`whatsapp-send ${contact}`, job, async () => {
      for (let delivery = await next(); delivery !== undefined; delivery = await next()) {
        if (!await send(contact, delivery)) return
      }
    }, async () => {
      const delivery = await next()
      return delivery !== undefined && delivery.waitSeconds === 0
    })
  }
}
