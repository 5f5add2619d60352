import { eq, sql, type SQL } from 'drizzle-orm'
import type { Config } from '../config.ts'
import type { Db } from '../db/client.ts'
import { prepareQuery, value } from '../db/prepared.ts'
import { replyCosts, users } from '../db/tables.ts'
import { BUDGET_SPENT } from '../errors.ts'

export type Budgets = ReturnType<typeof createBudgets>

/**
 * Daily token budgets, by the UTC day of the database's clock: one for each user, and one that all guests of an API key
 * share, or that a server key has for itself. The cost of a reply is known only when it ends. So replies that are under way when a
 * budget runs out are still completed, also queued ones: those to three messages of a user at most. A message to eight bots has eight.
 */
export function createBudgets (db: Db, { BUDGET_TOKENS_PER_USER_DAY: perUser, BUDGET_TOKENS_PER_KEY_DAY: perKey }: Pick<Config, 'BUDGET_TOKENS_PER_USER_DAY' | 'BUDGET_TOKENS_PER_KEY_DAY'>) {
  return {
    /** Whether a user has any budget, given whether they have one of their own. If not, `mustHaveLeft` need not be called. */
    areSet: (hasOwn: boolean) => hasOwn || perUser > 0 || perKey > 0,

    /**
     * Call it before a streaming bot is asked.
     * @throws BUDGET_SPENT, with the seconds until the next day, when the user has no tokens left
     */
    async mustHaveLeft (userId: number): Promise<void> {
      const { rows: [spent] } = await db.$client.query<{ seconds: number }>(SPENT({ user: userId, perUser, perKey }))
      refuse(spent)
    },

    /** The same for a server that asks for no user, by the SHA-256 of its key. @throws BUDGET_SPENT */
    async keyMustHaveLeft (apiKeyHash: string): Promise<void> {
      const { rows: [spent] } = await db.$client.query<{ seconds: number }>(SPENT_BY_KEY({ apiKeyHash, perKey }))
      refuse(spent)
    }
  }
}

function refuse (spent: { seconds: number } | undefined) {
  if (spent !== undefined) throw Object.assign(new BUDGET_SPENT(), { retryAfter: Math.max(1, spent.seconds) })
}

const SECONDS_LEFT = sql`ceil(extract(epoch FROM date_trunc('day', now(), 'UTC') + interval '1 day' - now()))::integer AS seconds`

const spentBy = (condition: SQL) => sql`(
  SELECT coalesce(sum(${replyCosts.promptTokens}::bigint + ${replyCosts.completionTokens}), 0) FROM ${replyCosts}
  WHERE ${condition} AND ${replyCosts.createdAt} >= date_trunc('day', now(), 'UTC'))`

/** SQL that gives a row if the user's budget is spent. Without a budget, no costs are added up. */
const SPENT = prepareQuery('budget', sql`
  SELECT ${SECONDS_LEFT}
  FROM ${users}
  WHERE ${users.id} = ${value('user')} AND CASE
    WHEN coalesce(${users.budgetTokens}, nullif(${value('perUser')}::bigint, 0)) <= ${spentBy(eq(replyCosts.userId, users.id))} THEN true
    WHEN ${users.isGuest} AND nullif(${value('perKey')}::bigint, 0) <= ${spentBy(eq(replyCosts.apiKeyHash, users.apiKeyHash))} THEN true
    ELSE false
  END`)

const SPENT_BY_KEY = prepareQuery('key_budget', sql`
  SELECT ${SECONDS_LEFT} WHERE nullif(${value('perKey')}::bigint, 0) <= ${spentBy(sql`${replyCosts.apiKeyHash} = ${value('apiKeyHash')}`)}`)
