/** Meta's limit for a text. We count UTF-16 units: whichever characters Meta counts, there are not more of them. */
const MAX_PART_LENGTH = 4096

/** How much of the end of a part is searched for a place between words. */
const SEARCHED = MAX_PART_LENGTH / 4

/** Sent to a contact when the bot failed before it had written anything. */
const SORRY = 'Sorry, I cannot answer right now. Please try again later.'

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' })
const words = new Intl.Segmenter(undefined, { granularity: 'word' })

/** Splits a reply into the parts to send. A deleted reply has none. */
export function partsOf ({ text, status }: { text: string, status: string }): string[] {
  return split(text.trim() === '' && status !== 'deleted' ? SORRY : text)
}

/** Splits a text that is too long for WhatsApp into parts that end between words. */
function split (text: string): string[] {
  const parts: string[] = []
  for (let at = 0; at < text.length;) {
    const end = at + endOfPart(text.slice(at, at + MAX_PART_LENGTH + 2))
    parts.push(text.slice(at, end))
    at = end
  }
  return parts.filter(part => part.trim() !== '')
}

/**
 * Finds where a part ends: after white space, else between words of a script without spaces, else after a grapheme (a
 * character as people see it). A grapheme is cut only if it is longer than a part, and never within a surrogate pair. Looks
 * at no more than one part, so that splitting takes linear time.
 */
function endOfPart (text: string) {
  if (text.length <= MAX_PART_LENGTH) return text.length
  const characters = graphemes.segment(text)
  const isBetweenCharacters = (index: number) => characters.containing(index)!.index === index
  const from = MAX_PART_LENGTH - SEARCHED
  const tail = text.slice(from, MAX_PART_LENGTH)
  const end = lastOf([...tail.matchAll(/\s+/g)].map(({ 0: space, index }) => from + index + space.length), isBetweenCharacters) ??
    lastOf([...words.segment(tail)].map(({ index }) => from + index), isBetweenCharacters)
  if (end !== undefined) return end
  const { index } = characters.containing(MAX_PART_LENGTH)!
  if (index > 0) return index
  return /[\ud800-\udbff]$/.test(text.slice(0, MAX_PART_LENGTH)) ? MAX_PART_LENGTH - 1 : MAX_PART_LENGTH
}

/** The last suitable place. One at the beginning of the searched text is ignored: it may be in the middle of a word. */
function lastOf (places: number[], isRight: (place: number) => boolean) {
  return places.findLast(place => place > MAX_PART_LENGTH - SEARCHED && isRight(place))
}
