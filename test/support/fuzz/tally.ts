import type { Role } from './callers.ts'

/** Counts the requests by target and role, and how many of them succeeded. */
export function createTally () {
  const asked = new Map<string, Record<Role, number>>()
  const succeeded = new Map<string, number>()
  let sent = 0
  let successes = 0

  return {
    add (target: string, role: Role, isGood: boolean) {
      const roles = asked.get(target) ?? { nobody: 0, user: 0, guest: 0, admin: 0, server: 0 }
      roles[role]++
      asked.set(target, roles)
      succeeded.set(target, (succeeded.get(target) ?? 0) + Number(isGood))
      sent++
      successes += Number(isGood)
    },
    sent: () => sent,
    successes: () => successes,
    /** The number of requests to each target, by role. */
    asked,
    /** The number of successful requests to each target. */
    succeeded
  }
}
