import { EventEmitter, on, once } from 'node:events'
import { createGuidedBot, type Script } from '../../src/bots/guided/flow.ts'
import type { Bot, BotRow, Directory, Estimate, BotMemory, ReplyPiece, ReplyContext, StreamingBot, Turn } from '../../src/bots/bot.ts'

/** One call of a slow bot: the turns that it got, and functions with which a test makes it reply. */
export interface Call {
  turns: Turn[]
  signal: AbortSignal
  context: ReplyContext
  say: (text: string) => void
  think: (reasoning: string) => void
  give: (piece: ReplyPiece) => void
  cost: (promptTokens: number, completionTokens: number) => void
  /** The provider has started, with this estimate of the reply's costs. */
  begin: (estimate: Estimate) => void
  remember: (memory: BotMemory) => void
  end: () => void
  fail: (error: Error) => void
}

/**
 * Streaming bots whose replies a test controls. Until the test takes over, they answer with `Slowly: ` and the message, in two
 * pieces.
 */
export function createSlowBots () {
  const asked = new EventEmitter()
  const calls: Call[] = []
  let isManual = false
  let isHeedless = false
  let isForAll = false

  const reply: StreamingBot = async function * (turns, signal, context) {
    if (!isManual) {
      yield { text: 'Slowly: ' }
      yield { text: turns.at(-1)!.text }
      yield { usage: { promptTokens: 3, completionTokens: 2 } }
      return
    }
    const pieces = new EventEmitter()
    const spoken = on(pieces, 'piece', { close: ['end'], signal: isHeedless ? undefined : signal })
    calls.push({
      turns,
      signal,
      context: context!,
      say: text => { pieces.emit('piece', { text }) },
      think: reasoning => { pieces.emit('piece', { reasoning }) },
      give: piece => { pieces.emit('piece', piece) },
      cost: (promptTokens, completionTokens) => { pieces.emit('piece', { usage: { promptTokens, completionTokens } }) },
      begin: estimate => { context!.begins!(estimate) },
      remember: memory => { pieces.emit('piece', { memory }) },
      end: () => { pieces.emit('end') },
      fail: error => { pieces.emit('error', error) }
    })
    asked.emit('call')
    try {
      for await (const [piece] of spoken as AsyncIterable<[ReplyPiece]>) yield piece
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }

  const inPlaceOf = (bot: Bot): Bot => bot.kind === 'streaming' ? { kind: 'streaming', reply } : bot

  return {
    /**
     * Adds test bots to the directory: slow bots for webhooks without a URL and for bots in code named `slow`, and guided bots whose
     * settings contain the script itself.
     */
    change: (directory: Directory): Directory => row => {
      if (isForAll) return inPlaceOf(directory(row))
      if (isSlow(row)) return { kind: 'streaming', reply }
      const { script } = row.settings
      return typeof script === 'object' ? { kind: 'instant', answer: createGuidedBot(script as Script) } : directory(row)
    },
    calls,
    /** From now on slow bots replace every streaming bot, so that none of them connects to a provider. */
    standInForAll () { isForAll = true },
    /** From now on the test controls every reply. With `isHeedless` the bots ignore the abort signal. */
    takeOver (how = { isHeedless: false }) {
      isManual = true
      isHeedless = how.isHeedless
    },
    /** Waits until the bots have been called this many times, and returns the last of these calls. */
    async call (times = 1): Promise<Call> {
      while (calls.length < times) await once(asked, 'call')
      return calls[times - 1]!
    }
  }
}

function isSlow ({ engine, settings }: BotRow) {
  return engine === 'simulated' ? settings['bot'] === 'slow' : engine === 'webhook' && !('url' in settings)
}
