/** Meta's limit for a text, which we count in UTF-16 units: whatever Meta counts, there are not more. */
const MAX_PART_LENGTH = 4096

/** How much of a part is searched for a place between words, from its end. */
const SEARCHED = MAX_PART_LENGTH / 4

/** What a contact reads when the bot could not say a word. */
const SORRY = 'Sorry, I cannot answer right now. Please try again later.'

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' })
const words = new Intl.Segmenter(undefined, { granularity: 'word' })

/** What goes out of a reply, in parts; nothing of one that was deleted. */
export function partsOf ({ text, status }: { text: string, status: string }): string[] {
  return split(text.trim() === '' && status !== 'deleted' ? SORRY : text)
}

/** A text as WhatsApp takes it: in several parts when it is too long, which end between words. */
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
 * Where a part ends: behind white space, else between words of a script that has none, else behind a character as people
 * see it. Only one such character that is longer than a part is cut, and never within a surrogate pair. It looks at no
 * more than a part, so that the work grows with the text and no faster.
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

/** The last place that is right; one at the beginning of what was searched tells nothing. */
function lastOf (places: number[], isRight: (place: number) => boolean) {
  return places.findLast(place => place > MAX_PART_LENGTH - SEARCHED && isRight(place))
}
