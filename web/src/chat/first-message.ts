/** First messages of conversations that were just created, until their screen opens and sends them. */
const waiting = new Map<number, string>()

export function keepFirstMessage (conversation: number, text: string) {
  waiting.set(conversation, text)
}

/** Returns the first message of a conversation, only once, so that it is sent only once. */
export function firstMessageOf (conversation: number) {
  const text = waiting.get(conversation)
  waiting.delete(conversation)
  return text
}
