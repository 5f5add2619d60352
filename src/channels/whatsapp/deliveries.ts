import type { FastifyBaseLogger } from 'fastify'
import type { JobLocks } from '../../db/job-lock.ts'
import type { Content, Recipient, WhatsAppClient } from './client.ts'
import { pauseAfter, type DeliveryStore, type NextDelivery } from './deliveries-store.ts'
import { partsOf } from './parts.ts'
import type { Probe } from './probe.ts'
import { contentOf } from './templates.ts'

/** In seconds: how long we wait for a status that shows that an attempt without a response arrived, before we send again. */
const STATUS_TIMEOUT_SECONDS = 20

/**
 * In seconds: the pause after an attempt without a response. `attempts` counts those before it. The pauses grow, because each of these
 * attempts may have arrived: while all connections break, the contact must not get a copy every 20 s.
 */
const doubtAfter = (attempts: number) => Math.max(STATUS_TIMEOUT_SECONDS, pauseAfter(attempts))

export interface SenderOptions {
  deliveries: DeliveryStore
  locks: JobLocks
  client: WhatsAppClient
  log: Pick<FastifyBaseLogger, 'warn'>
}

/**
 * Makes the job that sends what is queued for a contact, in order. A message that has to wait holds up those behind it; a
 * message that is refused does not.
 */
export function createSender ({ deliveries, locks, client, log }: SenderOptions) {
  /** Handles one delivery. Returns true when the next one may follow. */
  async function send (contact: string, delivery: NextDelivery, probe: Probe | undefined): Promise<boolean> {
    const { id, attempts, errorCode, error, hold, waitSeconds } = delivery
    if (delivery.isUnanswered && !delivery.isInDoubt) return await wait(deliveries.doubt(id, doubtAfter(attempts - 1)), contact, STATUS_TIMEOUT_SECONDS)
    const witness = delivery.isUnanswered ? await deliveries.witness(id) : undefined
    if (witness !== undefined) return await goOn(deliveries.sent(id, witness))
    // Look for a status again before a long pause is over, since the contact's later messages wait.
    if (waitSeconds > 0) return await wait(undefined, contact, delivery.isUnanswered ? Math.min(waitSeconds, STATUS_TIMEOUT_SECONDS) : waitSeconds)

    const content = contentFor(delivery)
    const problem = { errorCode: errorCode ?? hold?.errorCode ?? null, error: error ?? hold?.error ?? null }
    if (content === undefined) return await goOn(deliveries.refused(id, 'failed', { errorCode: null, error: 'The message was deleted' }))
    if (hold !== null && delivery.isTooOld) return await goOn(deliveries.refused(id, 'failed', problem))
    if (!delivery.isWindowOpen && content.type === 'text') return await goOn(deliveries.refused(id, 'window_closed', problem))
    if (delivery.isTooOld) return await goOn(deliveries.refused(id, 'failed', problem))
    if (hold !== null && (probe?.isSpent ?? true)) {
      if (hold.isOverdue && probe === undefined) await deliveries.probeNow()
      return false
    }
    if (!await deliveries.begin(delivery)) return true
    if (probe !== undefined) probe.isSpent = true

    const outcome = await client.send(addressOf(contact, delivery), content)
    if (outcome.is !== 'sent' && outcome.is !== 'held') log.warn({ delivery: id, outcome }, 'A WhatsApp message was not sent')
    switch (outcome.is) {
      case 'sent':
        if (probe !== undefined) probe.sent = id
        return await goOn(deliveries.sent(id, outcome.whatsappId))
      case 'refused':
        if (probe !== undefined) probe.isSpent = false
        return await goOn(deliveries.refused(id, outcome.state, outcome.problem))
      case 'unknown': return await wait(deliveries.doubt(id, doubtAfter(attempts), outcome.problem), contact, STATUS_TIMEOUT_SECONDS)
      case 'held': {
        await deliveries.held(id, outcome.problem)
        return false // when the hold ends, `resume` sends everything that is queued
      }
      case 'later': {
        const pause = Math.max(outcome.afterSeconds, pauseAfter(attempts))
        return await wait(deliveries.later(id, pause, outcome.problem), contact, pause)
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

  /** Sends everything that is queued for a contact. While all messages are held it sends none, or one for a probe. */
  return async function sendAll (contact: string, job: number, probe?: Probe): Promise<void> {
    const next = () => deliveries.next(contact)
    await locks.workAlone(`whatsapp-send ${contact}`, job, async () => {
      for (let delivery = await next(); delivery !== undefined; delivery = await next()) {
        if (!await send(contact, delivery, probe)) return
      }
    })
  }
}

/** Gives what to send; undefined when the message was deleted. */
function contentFor (delivery: NextDelivery): Content | undefined {
  if (delivery.template !== null) return delivery.status === 'deleted' ? undefined : contentOf(delivery.template)
  const body = partsOf(delivery)[delivery.part]
  return body === undefined ? undefined : { type: 'text', text: { preview_url: true, body } }
}

/**
 * Gives the contact's phone number if it is known, as Meta prefers, else the user id, which has a field of its own. Neither is known
 * of a contact who wrote while their user was being deleted, and the contact's row with it. Its key is the first address it had,
 * with a number such as -2 appended if that was the key of somebody else.
 */
function addressOf (contact: string, { phone, userId }: NextDelivery): Recipient {
  const address = contact.replace(/^(\d+)-\d+$/, '$1')
  const number = phone ?? (userId === null && /^\d+$/.test(address) ? address : null)
  return number === null ? { recipient: userId ?? contact } : { to: number }
}
