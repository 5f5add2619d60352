import { wordsOf } from '../text/message-parts.ts'
import { isBlank, MAX_REPLY_LENGTH, takePiece } from '../text/text.ts'
import { failure, type ReplyPiece } from './bot.ts'

/**
 * Makes pieces that can be stored: no piece ends within a surrogate pair, there is no NUL, and the text is cut after 100,000
 * code points. The reply ends with the next piece of text after these; parts, costs and a state that come before it still
 * belong to it. White space at the beginning is held back until something visible follows. The first piece is always text or
 * reasoning, so that callers can take it for the first token: costs that are reported earlier are held back. If the reply
 * fails without any text, they are yielded before the error, because the provider may charge for it all the same.
 * @throws BOT_NONSENSE when the reply has no visible text, and no part that can be put into words
 */
export async function * tidy (pieces: AsyncIterable<ReplyPiece> | Iterable<ReplyPiece>): AsyncGenerator<ReplyPiece, void> {
  const heldBack: ReplyPiece[] = []
  let intake = { points: 0, half: '' }
  let blank = ''
  let isVisible = false
  let hasWords = false
  try {
    for await (const piece of pieces) {
      if ('reasoning' in piece) {
        yield piece
        continue
      }
      if (!('text' in piece)) {
        if ('part' in piece) hasWords ||= wordsOf([piece.part]) !== ''
        if (isVisible) yield piece
        else heldBack.push(piece)
        continue
      }
      if (piece.replaces === true) {
        [intake, blank, isVisible] = [{ points: 0, half: '' }, '', false]
        yield { text: '', replaces: true }
      }
      if (intake.points >= MAX_REPLY_LENGTH && piece.text !== '') break
      const taken = takePiece(intake, piece.text, MAX_REPLY_LENGTH)
      const text = blank + taken
      isVisible ||= !isBlank(taken)
      blank = isVisible ? '' : text
      if (isVisible && text !== '') {
        yield { text }
        yield * heldBack.splice(0)
      }
    }
  } catch (error) {
    yield * heldBack
    throw error
  }
  yield * heldBack
  if (!isVisible && !hasWords) throw failure('BOT_NONSENSE', new Error('There was no text in the answer'))
}
