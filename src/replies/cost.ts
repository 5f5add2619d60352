import type { Estimate, TokenUsage } from '../bots/bot.ts'
import { cut } from '../text/text.ts'

/** The longest name of a model, in code points. A bot may report a longer one; the rest is cut off. */
const MAX_MODEL_LENGTH = 200

/** The user who is charged for a reply, and the bot's name. */
export interface Charged { user: number | null, apiKeyHash: string | null, bot: string }

/** What an attempt at a reply cost, as `record_cost` of the database takes it. */
export interface Cost {
  user: number | null
  api_key_hash: string | null
  bot: string
  model: string | null
  prompt_tokens: number
  /** Left out while it can only be estimated from the text. */
  completion_tokens?: number
  is_estimate: boolean
}

export type Meter = ReturnType<typeof createMeter>

/**
 * Meters one attempt at a reply. The last usage that the provider reported counts, or else the engine's estimate. A bot
 * that gives neither costs nothing.
 */
export function createMeter ({ user, apiKeyHash, bot }: Charged) {
  let usage: TokenUsage | undefined
  let estimate: Estimate | undefined
  let unstored: Cost | null = null
  let thoughts = ''

  const model = () => namedModel(usage?.model ?? estimate?.model)
  const cost = (tokens: Pick<Cost, 'prompt_tokens' | 'completion_tokens' | 'is_estimate'>): Cost =>
    ({ user, api_key_hash: apiKeyHash, bot, model: model(), ...tokens })

  function known (): Cost | null {
    if (usage !== undefined) return cost({ prompt_tokens: usage.promptTokens, completion_tokens: usage.completionTokens, is_estimate: usage.isEstimate ?? false })
    return estimate === undefined ? null : cost({ prompt_tokens: estimate.roughPromptTokens, is_estimate: true })
  }

  return {
    heard (said: TokenUsage) {
      usage = said
      unstored = known()
    },

    begins (how: Estimate) {
      estimate = how
      unstored = known()
    },

    /**
     * Adds a piece of reasoning to what an estimate counts, because providers charge it like text. With `replaces`, the reasoning
     * before it is not counted: it turned out to be part of the text, which `total` gets.
     */
    thinks (reasoning: string, replaces = false) {
      thoughts = (replaces ? '' : thoughts) + reasoning
    },

    /** Costs that are known but not stored yet; null for none. They are stored with the draft, in case the process dies. */
    news: () => unstored,

    /** Marks these costs as stored, unless newer ones are known by now. */
    noteStored (news: Cost | null) {
      if (unstored === news) unstored = null
    },

    /** The cost of the attempt, which has ended with this text; null for none. Counts tokens only where it must estimate. */
    async total (text: string): Promise<Cost | null> {
      if (usage !== undefined || estimate === undefined) return known()
      const { promptTokens, completionTokens } = await estimate.count(thoughts + text)
      return cost({ prompt_tokens: promptTokens, completion_tokens: completionTokens, is_estimate: true })
    }
  }
}

/**
 * A model's name as it can be stored and shown: a bot may report anything, such as a NUL character, which Postgres would
 * refuse together with the end of the reply.
 */
function namedModel (model = ''): string | null {
  return cut(model.replace(/\p{C}/gu, ''), MAX_MODEL_LENGTH) || null
}
