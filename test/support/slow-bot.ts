import { EventEmitter, on, once } from 'node:events'
import { createGuidedBot, type Script } from '../../src/bots/guided/flow.ts'
import type { Bot, BotRow, Directory, Estimate, BotMemory, ReplyPiece, ReplyContext, StreamingBot, Turn } from '../../src/bots/bot.ts'

/** What a slow bot was asked once, and by what it is made to speak. */
export interface Call {
  turns: Turn[]
  signal: AbortSignal
  context: ReplyContext
  say: (text: string) => void
  cost: (promptTokens: number, completionTokens: number) => void
  /** The provider has begun, and this is what the reply is estimated to cost. */
  begin: (estimate: Estimate) => void
  remember: (memory: BotMemory) => void
  end: () => void
  fail: (error: Error) => void
}

/**
 * Streaming bots that say what a test makes them say. If no test controls them, they answer with `Slowly: ` and the
 * message, in two pieces.
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
     * The bots that there are, slow ones for webhooks that have no address and for bots in code named `slow`, and guided
     * ones whose settings hold the script itself.
     */
    change: (directory: Directory): Directory => row => {
      if (isForAll) return inPlaceOf(directory(row))
      if (isSlow(row)) return { kind: 'streaming', reply }
      const { script } = row.settings
      return typeof script === 'object' ? { kind: 'instant', answer: createGuidedBot(script as Script) } : directory(row)
    },
    calls,
    /** From now on they answer for every bot that would connect to somewhere else. */
    standInForAll () { isForAll = true },
    /** From now on the bots say only what they are made to say; `isHeedless`: and go on when the signal aborts. */
    takeOver (how = { isHeedless: false }) {
      isManual = true
      isHeedless = how.isHeedless
    },
    /** Waits until they have been asked so often, and gives the last call. */
    async call (times = 1): Promise<Call> {
      while (calls.length < times) await once(asked, 'call')
      return calls[times - 1]!
    }
  }
}

function isSlow ({ engine, settings }: BotRow) {
  return engine === 'simulated' ? settings['bot'] === 'slow' : engine === 'webhook' && !('url' in settings)
}
