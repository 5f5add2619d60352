import { split } from '../../text/split.ts'

/** Meta's limit for a text. We count UTF-16 units: whichever characters Meta counts, there are not more of them. */
const MAX_PART_LENGTH = 4096

/** Sent to a contact when the bot failed before it had written anything. */
const SORRY = 'Sorry, I cannot answer right now. Please try again later.'

/** Splits a reply into the parts to send. A deleted reply has none. */
export function partsOf ({ text, status }: { text: string, status: string }): string[] {
  return split(text.trim() === '' && status !== 'deleted' ? SORRY : text, MAX_PART_LENGTH)
}
