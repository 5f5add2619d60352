import { failure, type Piece } from './bot.js'

const MOST_CODE_POINTS = 100_000

/**
 * Makes of what a provider sends what can be stored: no piece ends within a surrogate pair, there is no NUL, and after
 * 100,000 code points it ends. Gives texts first and the costs last, so that the first piece is the first token.
 * @throws BOT_NONSENSE when there is no text at all
 */
export async function * tidy (pieces: AsyncIterable<Piece> | Iterable<Piece>): AsyncGenerator<Piece, void> {
  let usage: Piece | undefined
  let half = ''
  let left = MOST_CODE_POINTS
  for await (const piece of pieces) {
    if ('usage' in piece) {
      usage = piece // some providers say it anew with every token
      continue
    }
    const whole = half + piece.text.replaceAll('\0', '')
    half = /[\uD800-\uDBFF]$/.test(whole) ? whole.slice(-1) : ''
    const points = [...whole.slice(0, whole.length - half.length).toWellFormed()].slice(0, left)
    if (points.length > 0) yield { text: points.join('') }
    left -= points.length
    if (left === 0) break
  }
  if (left === MOST_CODE_POINTS) throw failure('BOT_NONSENSE', new Error('There was no text in the answer'))
  if (usage !== undefined) yield usage
}
