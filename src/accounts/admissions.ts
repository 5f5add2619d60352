import type { FastifyRequest } from 'fastify'

/** How long a request may take between the check of its credentials and its handler before they are checked again. Streams of an ended session end as late. */
const CHECK_AGAIN_AFTER_MS = 1_000

type Check = (request: FastifyRequest) => Promise<void>

/**
 * Checks credentials a second time, right before the handler, if the first check was long ago. The first one comes before the
 * body is read, for which a client may take as long as `REQUEST_TIMEOUT`, and before a request waits in the queue of its user.
 * Without the second check, somebody who was logged out, locked or is no admin any more could still finish what they had begun to
 * send, such as a request for a new key.
 */
export function createAdmissions () {
  const admissions = new WeakMap<FastifyRequest, { at: number, checks: Check[] }>()

  /** Notes that a request has just passed a check, and how to repeat it. */
  function note (request: FastifyRequest, check: Check) {
    const admission = admissions.get(request) ?? { at: performance.now(), checks: [] }
    admission.checks.push(check)
    admissions.set(request, admission)
  }

  return {
    note,

    /** Makes an `onRequest` hook of a check that can be repeated. */
    noted (check: Check): Check {
      return async request => {
        await check(request)
        note(request, check)
      }
    },

    /** A `preHandler` hook that repeats all checks of a request in their order, if they were long ago. @throws what they throw */
    async checkAgain (request: FastifyRequest): Promise<void> {
      const admission = admissions.get(request)
      if (admission === undefined || performance.now() - admission.at < CHECK_AGAIN_AFTER_MS) return
      for (const check of admission.checks) await check(request)
    }
  }
}
