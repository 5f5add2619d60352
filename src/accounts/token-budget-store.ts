import { eq, sql, type SQL } from 'drizzle-orm'
import type { Config } from '../config.ts'
import type { Db } from '../db/client.ts'
import { prepareQuery, value } from '../db/prepared.ts'
import { replyCosts, users } from '../db/tables.ts'
import { BUDGET_SPENT } from '../errors.ts'

export type Budgets = ReturnType<typeof createBudgets>

/**
 * Daily budgets of tokens, by the UTC day of the database's clock: one for each user, and one that the guests of an API
 * key share. What replies cost is known when they end, so that the replies that are under way when a budget runs out,
 * three for a user at most, still come.
 */
export function createBudgets (db: Db, { BUDGET_TOKENS_PER_USER_DAY: perUser, BUDGET_TOKENS_PER_KEY_DAY: perKey }: Pick<Config, 'BUDGET_TOKENS_PER_USER_DAY' | 'BUDGET_TOKENS_PER_KEY_DAY'>) {
  return {
    /** Whether anything limits a user, who has a budget of their own or not. If not, they need not be asked about. */
    areSet: (hasOwn: boolean) => hasOwn || perUser > 0 || perKey > 0,

    /**
     * To be asked before a bot that takes its time is.
     * @throws BUDGET_SPENT, with the seconds until the next day, when nothing is left to the user
     */
    async mustHaveLeft (userId: number): Promise<void> {
      const { rows: [spent] } = await db.$client.query<{ seconds: number }>(SPENT({ user: userId, perUser, perKey }))
      if (spent !== undefined) throw Object.assign(new BUDGET_SPENT(), { retryAfter: Math.max(1, spent.seconds) })
    }
  }
}

const spentBy = (condition: SQL) => sql`(
  SELECT coalesce(sum(${replyCosts.promptTokens}::bigint + ${replyCosts.completionTokens}), 0) FROM ${replyCosts}
  WHERE ${condition} AND ${replyCosts.createdAt} >= date_trunc('day', now(), 'UTC'))`

/** A row for a user whose budget is spent. Where no budget is set, nothing is added up. */
const SPENT = prepareQuery('budget', sql`
  SELECT ceil(extract(epoch FROM date_trunc('day', now(), 'UTC') + interval '1 day' - now()))::integer AS seconds
  FROM ${users}
  WHERE ${users.id} = ${value('user')} AND CASE
    WHEN coalesce(${users.budgetTokens}, nullif(${value('perUser')}::bigint, 0)) <= ${spentBy(eq(replyCosts.userId, users.id))} THEN true
    WHEN ${users.isGuest} AND nullif(${value('perKey')}::bigint, 0) <= ${spentBy(eq(replyCosts.apiKeyHash, users.apiKeyHash))} THEN true
    ELSE false
  END`)
