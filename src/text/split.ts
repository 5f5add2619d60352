const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' })
const words = new Intl.Segmenter(undefined, { granularity: 'word' })

/** This share of a part, 1 / 4, is searched for a place between words, from its end. */
const SEARCHED_SHARE = 4

/**
 * Splits a text that is too long into parts that end between words. Parts without visible characters are left out.
 * @param maxLength the longest part, in UTF-16 units
 */
export function split (text: string, maxLength: number): string[] {
  const parts: string[] = []
  for (let at = 0; at < text.length;) {
    const end = at + endOfPart(text.slice(at, at + maxLength + 2), maxLength)
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
function endOfPart (text: string, maxLength: number) {
  if (text.length <= maxLength) return text.length
  const characters = graphemes.segment(text)
  const isBetweenCharacters = (index: number) => characters.containing(index)!.index === index
  const from = maxLength - Math.floor(maxLength / SEARCHED_SHARE)
  /** The last suitable place. One at the beginning of the searched text is ignored: it may be in the middle of a word. */
  const lastOf = (places: number[]) => places.findLast(place => place > from && isBetweenCharacters(place))
  const tail = text.slice(from, maxLength)
  const end = lastOf([...tail.matchAll(/\s+/g)].map(({ 0: space, index }) => from + index + space.length)) ??
    lastOf([...words.segment(tail)].map(({ index }) => from + index))
  if (end !== undefined) return end
  const { index } = characters.containing(maxLength)!
  if (index > 0) return index
  return /[\ud800-\udbff]$/.test(text.slice(0, maxLength)) ? maxLength - 1 : maxLength
}
