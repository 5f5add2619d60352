/** Meta's limit for a text. */
const LONGEST = 4096

/** What a contact reads when the bot could not say a word. */
const SORRY = 'Sorry, I cannot answer right now. Please try again later.'

/** What goes out of a reply, in parts; nothing of one that was deleted. */
export function partsOf ({ text, status }: { text: string, status: string }): string[] {
  return split(text === '' && status !== 'deleted' ? SORRY : text)
}

/** A text as WhatsApp takes it: in several parts when it is too long, parted between words where that can be. */
function split (text: string): string[] {
  const parts: string[] = []
  for (let rest = text; rest !== '';) {
    const end = endOfPart(rest)
    parts.push(rest.slice(0, end))
    rest = rest.slice(end)
  }
  return parts.filter(part => part.trim() !== '')
}

function endOfPart (text: string) {
  if (text.length <= LONGEST) return text.length
  const space = /.*\s/s.exec(text.slice(LONGEST * 3 / 4, LONGEST))
  if (space !== null) return LONGEST * 3 / 4 + space[0].length
  return /[\ud800-\udbff]$/.test(text.slice(0, LONGEST)) ? LONGEST - 1 : LONGEST
}
