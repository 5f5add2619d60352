import { and, desc, eq, inArray, ne, sql } from 'drizzle-orm'
import type { Db } from '../db/client.ts'
import { FORMER_KEYS, users } from '../db/tables.ts'
import { INVALID_USERNAME, USERNAME_TAKEN, USER_NOT_FOUND } from '../errors.ts'
import { formerKeyOf, keyOf, keysOf, spaced, usernameProblem } from '../text/username.ts'

/** For WHERE: the accounts that these usernames may mean. Accounts from before today's rule have keys of the former rule. */
export const isNamed = (...usernames: string[]) => inArray(users.usernameKey, usernames.flatMap(keysOf))

/** For ORDER BY: if two accounts from before today's rule have the same name under it, the exact spelling comes first. */
export const typedFirst = (username: string) => desc(eq(users.usernameKey, formerKeyOf(username)))

/** Returns the ids of the accounts with these usernames. @throws USER_NOT_FOUND when one of them does not exist */
export async function findNamed (from: Pick<Db, 'select'>, usernames: string[]): Promise<number[]> {
  if (usernames.length === 0) return []
  const rows = await from.select({ id: users.id, key: users.usernameKey }).from(users).where(isNamed(...usernames))
  const byKey = new Map(rows.map(({ id, key }) => [key, id]))
  return usernames.map(username => {
    const id = byKey.get(formerKeyOf(username)) ?? byKey.get(keyOf(username))
    if (id === undefined) throw new USER_NOT_FOUND()
    return id
  })
}

/** Normalizes a new username for storage. @throws INVALID_USERNAME */
export function readUsername (username: string) {
  const stored = spaced(username)
  const problem = usernameProblem(stored)
  if (problem !== undefined) throw new INVALID_USERNAME(problem)
  return stored
}

/**
 * Refuses a username that another account has. For new accounts a unique index does this. Accounts from before today's rule
 * have other keys, which the index does not compare, so they are searched here; no such account is created any more, so
 * there is no race.
 * @throws USERNAME_TAKEN
 */
export async function mustBeFree (from: Pick<Db, 'select'>, username: string, ownId = 0) {
  const isAnothers = ne(users.id, ownId)
  const taken = await from.select({ id: users.id }).from(users).where(and(isNamed(username), isAnothers)).limit(1)
  const former = await from.select({ key: sql<string>`${users.usernameKey}` }).from(users).where(and(FORMER_KEYS(users.usernameKey), isAnothers))
  if (taken.length > 0 || former.some(({ key }) => keyOf(key) === keyOf(username))) throw new USERNAME_TAKEN()
}
