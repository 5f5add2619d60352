import type { FastifyBaseLogger } from 'fastify'
import type { JobLocks } from '../../db/job-lock.ts'
import type { HoldStore } from './holds-store.ts'

/** What a probe may send: one message that Meta takes, or says nothing about. */
export interface Probe {
  /** Whether it has sent its message. */
  isSpent: boolean
  /** The delivery that Meta took. */
  sent?: number
}

export interface ProbeOptions {
  holds: HoldStore
  locks: JobLocks
  /** Sends one message of a contact although all are held; one that Meta refuses for itself does not count. */
  sendOne: (contact: string, job: number, probe: Probe) => Promise<void>
  log: Pick<FastifyBaseLogger, 'info'>
}

/**
 * While everything is held because of our account, tries one message, of all contacts and on whichever instance, and ends
 * the hold when Meta takes it. Where Meta takes messages and tells of the trouble by a status, the hold ends when a status
 * says that the message is on its way, or when none has said otherwise for a minute.
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
