/** What was typed before its conversation was there, until that is open. */
const waiting = new Map<number, string>()

export function keepFirstMessage (conversation: number, text: string) {
  waiting.set(conversation, text)
}

/** Gives it once, so that it is sent once. */
export function firstMessageOf (conversation: number) {
  const text = waiting.get(conversation)
  waiting.delete(conversation)
  return text
}
