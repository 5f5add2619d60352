import type { Directory, InstantBot, StreamingBot } from '../bots/bot.ts'
import { failureCodeOf } from '../failures.ts'
import type { Ended, Metrics } from './metrics.ts'

type Watched = Pick<Metrics, 'replied' | 'firstToken'>

/** Wraps bots so that their replies are counted when they end. Callers see no difference. */
export function watchReplies (directory: Directory, metrics: Watched): Directory {
  return row => {
    const bot = directory(row)
    return bot.kind === 'instant'
      ? { ...bot, answer: watchInstant(bot.answer, row.name, metrics) }
      : { ...bot, reply: watchStreaming(bot.reply, row.name, metrics) }
  }
}

function watchInstant (answer: InstantBot, bot: string, metrics: Watched): InstantBot {
  return said => {
    const answered = answer(said)
    metrics.replied({ bot, outcome: 'complete' })
    return answered
  }
}

function watchStreaming (reply: StreamingBot, bot: string, metrics: Watched): StreamingBot {
  return async function * watched (turns, signal, context) {
    const began = performance.now()
    let isFirst = true
    let ended: Ended = { bot, outcome: 'failed', error: 'BOT_NONSENSE' } // the listener stopped early
    try {
      for await (const piece of await reply(turns, signal, context)) {
        if (isFirst && 'text' in piece) {
          metrics.firstToken(bot, (performance.now() - began) / 1000)
          isFirst = false
        }
        yield piece
      }
      ended = { bot, outcome: 'complete' }
    } catch (error) {
      ended = { bot, outcome: 'failed', error: failureCodeOf((error as { failure?: unknown }).failure) }
      throw error
    } finally {
      metrics.replied(signal.aborted ? { bot, outcome: signal.reason === 'stopped' ? 'stopped' : 'interrupted' } : ended)
    }
  }
}
