import type { Role } from './callers.ts'

/** Counts what was sent, to which target, as whom, and how much of it succeeded. */
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
    /** How often each target was asked, by role. */
    asked,
    /** How often each target was answered with a success. */
    succeeded
  }
}
