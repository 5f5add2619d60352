import type { Directory, InstantBot, StreamingBot } from '../bots/bot.js'
import type { Ended, Metrics } from './metrics.js'

type Watched = Pick<Metrics, 'replied' | 'firstToken' | 'cost'>

/** The same bots, whose replies are counted as they end: whoever asks them notices nothing. */
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
  return async function * watched (turns, signal) {
    const began = performance.now()
    let isFirst = true
    let ended: Ended = { bot, outcome: 'failed', error: 'BOT_NONSENSE' } // whoever listens has had enough
    try {
      for await (const piece of await reply(turns, signal)) {
        if ('usage' in piece) metrics.cost(bot, piece.usage)
        else if (isFirst) metrics.firstToken(bot, (performance.now() - began) / 1000)
        isFirst = false
        yield piece
      }
      ended = { bot, outcome: 'complete' }
    } catch (error) {
      ended = { bot, outcome: 'failed', error: (error as { failure?: string }).failure ?? 'BOT_BROKE_OFF' }
      throw error
    } finally {
      metrics.replied(signal.aborted ? { bot, outcome: signal.reason === 'stopped' ? 'stopped' : 'interrupted' } : ended)
    }
  }
}
