import { fork, type ChildProcess } from 'node:child_process'
import path from 'node:path'

/** A password to hash at a cost, or to compare with a hash. */
type HashTask = { password: string, cost: number } | { password: string, hash: string }
type HashResult = string | boolean

/** What the process is asked, and what it answers. */
export type HashRequest = HashTask & { id: number }
export interface HashResponse { id: number, result: HashResult }

/** The program is beside this file: TypeScript in the sources, JavaScript in the built server. */
const PROGRAM = path.join(import.meta.dirname, `hash-process${path.extname(import.meta.filename)}`)

/** How long the process stays when it has nothing to do, in milliseconds. It takes about 50 ms to start, and 30 MB of memory of its own. */
const IDLE_TIMEOUT_MS = 60_000

/**
 * Runs bcrypt in a process of a low priority, so that logins do not take the processor away from the event loop, from Postgres and
 * from the requests of others. Threads can have a low priority, too, but Linux may compare it within a session (setsid) only, and
 * each process of Postgres is in a session of its own.
 *
 * The process starts with the first password, and ends when there was none for `idleTimeout` milliseconds, or with this process, which it does
 * not keep from ending. If it is killed, another one takes over.
 */
export function createHashing (idleTimeout = IDLE_TIMEOUT_MS) {
  const waiting = new Map<number, PromiseWithResolvers<HashResult>>()
  let child: ChildProcess | undefined
  let lastId = 0
  let idle: NodeJS.Timeout | undefined

  return {
    /** Makes a bcrypt hash of the first 72 bytes of a password. */
    hash: (password: string, cost: number) => run({ password, cost }) as Promise<string>,

    /** Whether a bcrypt hash is that of the password. */
    compare: (password: string, hash: string) => run({ password, hash }) as Promise<boolean>
  }

  async function run (task: HashTask) {
    return await ask(task).catch(() => ask(task))
  }

  async function ask (task: HashTask) {
    clearTimeout(idle)
    child ??= start()
    const id = ++lastId
    const answer = Promise.withResolvers<HashResult>()
    waiting.set(id, answer)
    child.ref()
    child.channel?.ref()
    // Without a free file descriptor the process has no channel and no `send`: the event 'error' follows.
    child.send?.({ ...task, id } satisfies HashRequest)
    try {
      return await answer.promise
    } finally {
      waiting.delete(id)
      if (waiting.size === 0) rest()
    }
  }

  function start () {
    const started = fork(PROGRAM, { detached: true, execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    started.on('message', ({ id, result }: HashResponse) => waiting.get(id)?.resolve(result))
    started.on('error', lose) // it could not be started, or did not take a message
    started.once('exit', (code, signal) => lose(new Error(`Exit code ${code}, signal ${signal}`)))
    return started

    function lose (cause: Error) {
      if (child !== started) return
      child = undefined
      for (const { reject } of waiting.values()) reject(new Error('The process that hashes passwords has ended', { cause }))
    }
  }

  function rest () {
    child?.unref()
    child?.channel?.unref()
    idle = setTimeout(() => {
      child?.disconnect()
      child = undefined
    }, idleTimeout).unref()
  }
}

/** The one for all servers in this process. */
export const hashing = createHashing()
