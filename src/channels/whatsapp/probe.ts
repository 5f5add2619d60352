import type { FastifyBaseLogger } from 'fastify'
import type { JobLocks } from '../../db/job-lock.ts'
import type { HoldStore } from './holds-store.ts'

/** Allows a sender to send one message although all are held. */
export interface Probe {
  /** Whether that message has been sent, or may have been. */
  isSpent: boolean
  /** The delivery that Meta accepted. */
  sent?: number
}

export interface ProbeOptions {
  holds: HoldStore
  locks: JobLocks
  /** Sends one message of a contact although all are held. One that Meta refuses for a reason of its own does not count. */
  sendOne: (contact: string, job: number, probe: Probe) => Promise<void>
  log: Pick<FastifyBaseLogger, 'info'>
}

/**
 * Makes the job that tries one message while all are held because of our account. Only one such job runs at a time, on
 * whichever instance. When Meta accepts the message, the hold ends.
 *
 * If Meta accepts messages and reports the problem by a status later, accepting proves nothing. Then the hold ends when a
 * status confirms that the message was sent, or when no failure has been reported for a minute.
 */
export function createProbe ({ holds, locks, sendOne, log }: ProbeOptions) {
  async function tryOne (job: number, hold: { isByStatus: boolean, isAccepted: boolean }) {
    await holds.giveUpOld()
    if (hold.isAccepted) return await release()
    const probe: Probe = { isSpent: false }
    const tried: string[] = []
    for (let contact = await holds.nextContact(tried); contact !== undefined && !probe.isSpent; contact = await holds.nextContact(tried)) {
      tried.push(contact)
      await sendOne(contact, job, probe)
    }
    if (probe.sent !== undefined && !hold.isByStatus) return await release()
    if (probe.sent === undefined && !await holds.isAnythingQueued()) return await holds.release()
    await holds.tryAgain(tried.at(-1), probe.sent)
  }

  async function release () {
    await holds.release()
    log.info('WhatsApp accepts our messages again')
  }

  return async function tryAlone (job: number): Promise<void> {
    await locks.workAlone('whatsapp-probe', job, async () => {
      const hold = await holds.current()
      return hold === undefined ? await holds.resume() : await tryOne(job, hold)
    })
  }
}
