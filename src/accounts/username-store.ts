import { and, desc, eq, inArray, ne, sql } from 'drizzle-orm'
import type { Db } from '../db/client.ts'
import { FORMER_KEYS, users } from '../db/tables.ts'
import { INVALID_USERNAME, USERNAME_TAKEN, USER_NOT_FOUND } from '../errors.ts'
import { formerKeyOf, keyOf, keysOf, spaced, usernameProblem } from '../text/username.ts'

/** For a WHERE: the accounts that these usernames may mean. Those made under the rule before kept the keys that it gave. */
export const isNamed = (...usernames: string[]) => inArray(users.usernameKey, usernames.flatMap(keysOf))

/** For an ORDER BY: where two accounts of the rule before are one name today, the one that was typed comes first. */
export const typedFirst = (username: string) => desc(eq(users.usernameKey, formerKeyOf(username)))

/** The ids of the accounts of these usernames. @throws USER_NOT_FOUND when there is none of one of them */
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

/** A new username as it is stored. @throws INVALID_USERNAME */
export function readUsername (username: string) {
  const stored = spaced(username)
  const problem = usernameProblem(stored)
  if (problem !== undefined) throw new INVALID_USERNAME(problem)
  return stored
}

/**
 * Refuses a username that another account has. Two new accounts cannot have the same key, by a unique index; the accounts
 * of the rule before do not change, so that it is enough to look for them beforehand.
 * @throws USERNAME_TAKEN
 */
export async function mustBeFree (from: Pick<Db, 'select'>, username: string, ownId = 0) {
  const isAnothers = ne(users.id, ownId)
  const taken = await from.select({ id: users.id }).from(users).where(and(isNamed(username), isAnothers)).limit(1)
  const former = await from.select({ key: sql<string>`${users.usernameKey}` }).from(users).where(and(FORMER_KEYS(users.usernameKey), isAnothers))
  if (taken.length > 0 || former.some(({ key }) => keyOf(key) === keyOf(username))) throw new USERNAME_TAKEN()
}
