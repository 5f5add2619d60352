import { and, eq, gte, lt, sql, type SQL } from 'drizzle-orm'
import type { Db } from '../../db/client.ts'
import { toQuery } from '../../db/prepared.ts'
import { replyCosts, users } from '../../db/tables.ts'

export type UsageStore = ReturnType<typeof createUsageStore>

/** Costs of one day, in UTC. `replies` counts attempts: a regenerated reply counts twice. */
export interface DailyUsage { day: string, bot: string | null, replies: number, prompt_tokens: number, completion_tokens: number }

/** The same by user and model. Without a user when the account was deleted. `estimated` counts attempts whose tokens are an estimate. */
export interface AdminUsage extends DailyUsage { user_id: number | null, username: string | null, model: string | null, estimated: number }

/** The last entry of a page. */
export type UsagePlace = Pick<AdminUsage, 'day' | 'user_id' | 'bot' | 'model'>

export interface UsageFilter {
  limit: number
  after?: UsagePlace | undefined
  user?: number | undefined
  bot?: string | undefined
  model?: string | undefined
  /** Days as YYYY-MM-DD: from this one on, and before this one. */
  from?: string | undefined
  before?: string | undefined
}

/** What replies cost, as it was recorded when each attempt ended. */
export function createUsageStore (db: Db) {
  return {
    /** The costs of replies to this user, by day (UTC) and bot: the newest days before a given one. */
    async byDay (userId: number, { limit, before = '9999-12-31' }: { limit: number, before: string | undefined }): Promise<{ page: DailyUsage[], hasMore: boolean }> {
      const { rows } = await db.$client.query<DailyUsage>(toQuery(usageByDay(userId, before, limit + 1)))
      const days = [...new Set(rows.map(({ day }) => day))].slice(0, limit)
      const page = rows.filter(({ day }) => days.includes(day))
      return { page, hasMore: page.length < rows.length }
    },

    /** The costs of replies to all users, by day, user, bot and model, newest day first. Returns one entry more than the limit if there are more. */
    async ofAll (filter: UsageFilter): Promise<AdminUsage[]> {
      const { rows } = await db.$client.query<AdminUsage>(toQuery(usageOfAll(filter)))
      return rows
    }
  }
}

const { createdAt, userId, botName, model, isEstimate, promptTokens, completionTokens } = replyCosts
const DAY = sql`to_char(${createdAt} AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day`
const TOKENS = sql`count(*) AS replies, sum(${promptTokens})::bigint AS prompt_tokens, sum(${completionTokens})::bigint AS completion_tokens`

/** Times are compared and not days, so that the index of the times is used. */
const startOf = (day: string) => sql`(${day}::timestamp AT TIME ZONE 'UTC')`

function usageByDay (user: number, before: string, most: number): SQL {
  return sql`
    WITH usage AS (
      SELECT ${DAY}, ${botName} AS bot, ${TOKENS}
      FROM ${replyCosts} WHERE ${userId} = ${user}
      GROUP BY 1, 2
    )
    SELECT * FROM usage
    WHERE day IN (SELECT DISTINCT day FROM usage WHERE day < ${before} ORDER BY day DESC LIMIT ${most})
    ORDER BY day DESC, bot`
}

function usageOfAll ({ limit, after, user, bot, model: ofModel, from, before }: UsageFilter): SQL {
  const filters = [
    user === undefined ? undefined : eq(userId, user),
    bot === undefined ? undefined : eq(botName, bot),
    ofModel === undefined ? undefined : eq(model, ofModel),
    from === undefined ? undefined : gte(createdAt, startOf(from)),
    before === undefined ? undefined : lt(createdAt, startOf(before)),
    after === undefined ? undefined : sql`${createdAt} < ${startOf(after.day)} + interval '1 day'`
  ]
  const isAfter = after === undefined
    ? sql`true`
    : sql`day < ${after.day} OR (day = ${after.day} AND (coalesce(user_id, 0), coalesce(bot, ''), coalesce(model, ''))
        > (${after.user_id ?? 0}::bigint, ${after.bot ?? ''}::text, ${after.model ?? ''}::text))`
  return sql`
    WITH usage AS (
      SELECT ${DAY}, ${userId}, ${botName} AS bot, ${model}, ${TOKENS}, count(*) FILTER (WHERE ${isEstimate}) AS estimated
      FROM ${replyCosts} WHERE ${and(sql`true`, ...filters)}
      GROUP BY 1, 2, 3, 4
    )
    SELECT usage.*, coalesce(${users.username}, ${users.name}) AS username FROM usage LEFT JOIN ${users} ON ${users.id} = usage.user_id
    WHERE ${isAfter}
    ORDER BY day DESC, coalesce(user_id, 0), coalesce(bot, ''), coalesce(model, '')
    LIMIT ${limit + 1}`
}
