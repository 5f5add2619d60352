import { createHash } from 'node:crypto'
import pLimit from 'p-limit'
import type { Config } from '../config.ts'
import { INVALID_PASSWORD, PASSWORDS_OFF, TOO_MANY_REQUESTS } from '../errors.ts'
import { hashing } from './hashing.ts'

export type Passwords = ReturnType<typeof createPasswords>

/**
 * How many passwords may wait to be hashed: at the default cost, about as many as are done in five seconds. Further ones are
 * refused at once. In an unlimited queue everybody would time out, and each request would stay in memory.
 */
const MAX_WAITING = 32

/**
 * Hashes and checks passwords, at most two at once. With PASSWORDS=off every function throws PASSWORDS_OFF, so that no route can
 * use a password, also one that lacks `usesPassword`.
 */
export function createPasswords ({ BCRYPT_COST: cost, PASSWORDS }: Pick<Config, 'BCRYPT_COST' | 'PASSWORDS'>, atOnce = 2) {
  const queue = pLimit(atOnce)

  return {
    areOn: PASSWORDS === 'on',
    mustBeOn,

    /** @throws INVALID_PASSWORD for one of the most common passwords, in any case; TOO_MANY_REQUESTS, PASSWORDS_OFF */
    async hash (password: string): Promise<string> {
      mustBeOn()
      if ((await commonest()).has(composed(password).toLowerCase())) throw new INVALID_PASSWORD('This is a common password that is easily guessed, please choose another')
      return await inTurn(() => hashing.hash(digest(password), cost))
    },

    /**
     * Whether a password matches. Without a hash it does the same work and returns false, so that the response time does not
     * reveal which users exist.
     * @throws TOO_MANY_REQUESTS, PASSWORDS_OFF
     */
    async verify (password: string, hash: string | null | undefined): Promise<boolean> {
      mustBeOn()
      const given = hash ?? nobodys(cost)
      return await inTurn(async () => {
        const matches = await hashing.compare(digest(password), given)
        // A hash from before BCRYPT_COST was raised takes less work than that of an unknown user. Since each step doubles the work,
        // one more comparison at each cost below the present one adds up to the same.
        for (let rest = costOf(given); rest < cost; rest++) await hashing.compare(digest(password), nobodys(rest))
        return matches && typeof hash === 'string'
      })
    }
  }

  /** @throws PASSWORDS_OFF */
  function mustBeOn () {
    if (PASSWORDS !== 'on') throw new PASSWORDS_OFF()
  }

  function inTurn<T> (work: () => Promise<T>): Promise<T> {
    if (queue.pendingCount >= MAX_WAITING) throw new TOO_MANY_REQUESTS()
    return queue(work)
  }
}

/** A hash of this cost that no password matches. */
const nobodys = (cost: number) => `$2b$${String(cost).padStart(2, '0')}$${'.'.repeat(53)}`

/** The cost of a bcrypt hash: two digits after its version. Not a number for anything else. */
const costOf = (hash: string) => Number(hash.slice(4, 6))

let common: Promise<Set<string>> | undefined

/** A list of 49,000 passwords, which is read when somebody chooses a password for the first time. */
async function commonest () {
  common ??= import('@zxcvbn-ts/language-common').then(({ dictionary }) => new Set<string>(dictionary['passwords-common']))
  return await common
}

/** bcrypt reads only 72 bytes and stops at a NUL, so it gets a SHA-256 of the whole password, in 44 characters of base64. */
function digest (password: string) {
  return createHash('sha256').update(composed(password)).digest('base64')
}

/** Normalizes a password, because keyboards encode the same character in different ways. @see NIST SP 800-63B, section 5.1.1.2 */
function composed (password: string) {
  return password.normalize('NFKC')
}
