import { createHash } from 'node:crypto'
import bcrypt from 'bcrypt'
import pLimit from 'p-limit'
import { INVALID_PASSWORD, TOO_MANY_REQUESTS } from '../errors.ts'

export type Passwords = ReturnType<typeof createPasswords>

/**
 * How many may wait for their turn: at the default cost, about as many as are done in five seconds. Who comes after
 * them is told so at once, since a queue without an end would let nobody in and keep every caller's request in memory.
 */
const MAX_WAITING = 32

/**
 * Hashes and checks passwords. bcrypt works on libuv's four threads, so that the event loop stays free; two at once
 * leave threads for everything else.
 * @param cost bcrypt's work factor, as a power of two
 */
export function createPasswords (cost: number, atOnce = 2) {
  const queue = pLimit(atOnce)
  const nobodys = `$2b$${String(cost).padStart(2, '0')}$${'.'.repeat(53)}`

  return {
    /** @throws INVALID_PASSWORD for one of the commonest, whatever its case; TOO_MANY_REQUESTS */
    async hash (password: string): Promise<string> {
      if ((await commonest()).has(composed(password).toLowerCase())) throw new INVALID_PASSWORD('This password is among the first that are guessed, please choose another')
      return await inTurn(() => bcrypt.hash(digest(password), cost))
    },

    /**
     * Without a hash to compare with it does the same work and says no, so that unknown users cannot be told apart.
     * @throws TOO_MANY_REQUESTS
     */
    async verify (password: string, hash: string | null | undefined): Promise<boolean> {
      const matches = await inTurn(() => bcrypt.compare(digest(password), hash ?? nobodys))
      return matches && typeof hash === 'string'
    }
  }

  function inTurn<T> (work: () => Promise<T>): Promise<T> {
    if (queue.pendingCount >= MAX_WAITING) throw new TOO_MANY_REQUESTS()
    return queue(work)
  }
}

let common: Promise<Set<string>> | undefined

/** 49,000 passwords, read with the first that is chosen. */
async function commonest () {
  common ??= import('@zxcvbn-ts/language-common').then(({ dictionary }) => new Set<string>(dictionary['passwords-common']))
  return await common
}

/** bcrypt reads 72 bytes and stops at a NUL: it is given 44 characters that stand for the whole password. */
function digest (password: string) {
  return createHash('sha256').update(composed(password)).digest('base64')
}

/** However a keyboard composes a character, it is the same one. @see NIST SP 800-63B, section 5.1.1.2 */
function composed (password: string) {
  return password.normalize('NFKC')
}
