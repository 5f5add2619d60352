import bcrypt from 'bcrypt'
import { writeFileSync } from 'node:fs'
import os from 'node:os'
import type { HashRequest, HashResponse } from './hashing.ts'

// A process that hashes passwords for the one that started it (see hashing.ts), and ends with it.

/** From -20, the highest priority, to 19, the lowest. At 10 a process gets a tenth of the processor time of one at 0, if both need it. */
const PRIORITY = 10

// The priority is lowered twice: of this process, and of its session. A system may refuse both, as a service manager does that lets a
// service change no priorities. Passwords are hashed all the same.
try {
  // A server may have been started with a lower priority than this. Only root could raise it again.
  os.setPriority(Math.max(PRIORITY, os.getPriority()))
/* c8 ignore next -- depends on the system */
} catch {}
lowerSession()

/**
 * Linux may first divide the processor time between sessions (setsid), and then between the processes of each. hashing.ts gives
 * this process a session of its own. @see https://man7.org/linux/man-pages/man7/sched.7.html, "The autogroup feature"
 */
function lowerSession () {
  try {
    writeFileSync('/proc/self/autogroup', `${PRIORITY}`)
  /* c8 ignore next 4 -- depends on the system, and on what else happens on it */
  } catch (error) {
    // Without the capability CAP_SYS_ADMIN this is possible once in 100 ms, for all processes of the system together.
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') setTimeout(lowerSession, 100)
  }
}

// A terminal or a service manager may send a signal to all processes at once. The server still answers the logins it has then.
for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(signal, () => {})

process.on('message', async (request: HashRequest) => {
  const { id, password } = request
  const result = 'cost' in request ? await bcrypt.hash(password, request.cost) : await bcrypt.compare(password, request.hash)
  process.send!({ id, result } satisfies HashResponse)
})
process.once('disconnect', () => process.exit())
