import type { Db } from '../db/client.js'

export type UsageStore = ReturnType<typeof createUsageStore>

export interface Usage { day: string, bot: string | null, replies: number, prompt_tokens: number, completion_tokens: number }

/** What replies cost, as their providers counted. */
export function createUsageStore (db: Db) {
  return {
    /** The newest days, in UTC, of those before one, with what each bot's replies to this user cost. */
    async byDay (userId: number, { limit, before = '9999-12-31' }: { limit: number, before: string | undefined }): Promise<{ page: Usage[], hasMore: boolean }> {
      const { rows } = await db.$client.query<Usage>(USAGE, [userId, before, limit + 1])
      const days = [...new Set(rows.map(({ day }) => day))].slice(0, limit)
      const page = rows.filter(({ day }) => days.includes(day))
      return { page, hasMore: page.length < rows.length }
    }
  }
}

const USAGE = `
  WITH usage AS (
    SELECT to_char(r.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, b.name AS bot, count(*) AS replies,
      sum(r.prompt_tokens)::bigint AS prompt_tokens, sum(r.completion_tokens)::bigint AS completion_tokens
    FROM messages q
    JOIN messages r ON r.conversation_id = q.conversation_id AND r.reply_to = q.id AND r.id > q.id AND r.id <= q.id + 8
    LEFT JOIN chatbots b ON b.id = r.chatbot_id
    WHERE q.user_id = $1 AND r.prompt_tokens IS NOT NULL
    GROUP BY 1, 2
  )
  SELECT * FROM usage
  WHERE day IN (SELECT DISTINCT day FROM usage WHERE day < $2 ORDER BY day DESC LIMIT $3)
  ORDER BY day DESC, bot`
