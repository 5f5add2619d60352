import { EventEmitter, on, once } from 'node:events'
import type { Directory, Piece, StreamingBot, Turn } from '../src/bots/bot.js'

/** What a slow bot was asked once, and by what it is made to speak. */
export interface Call {
  turns: Turn[]
  signal: AbortSignal
  say: (text: string) => void
  cost: (promptTokens: number, completionTokens: number) => void
  end: () => void
  fail: (error: Error) => void
}

/**
 * Bots that take their time and say what a test makes them say; without a test that listens they say `Slowly: ` and what
 * they heard, in two pieces.
 */
export function createSlowBots () {
  const asked = new EventEmitter()
  const calls: Call[] = []
  let isManual = false
  let isHeedless = false

  const reply: StreamingBot = async function * (turns, signal) {
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
      say: text => { pieces.emit('piece', { text }) },
      cost: (promptTokens, completionTokens) => { pieces.emit('piece', { usage: { promptTokens, completionTokens } }) },
      end: () => { pieces.emit('end') },
      fail: error => { pieces.emit('error', error) }
    })
    asked.emit('call')
    try {
      for await (const [piece] of spoken as AsyncIterable<[Piece]>) yield piece
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }

  return {
    /** The bots that there are, and slow ones for webhooks that have no address. */
    change: (directory: Directory): Directory => row => row.engine === 'webhook' && !('url' in row.settings) ? { kind: 'streaming', reply } : directory(row),
    calls,
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
