/** The most objects and lists in one JSON body. A history of the shortest messages has about 200,000 in 4 MiB. */
export const MAX_CONTAINERS = 250_000

const [QUOTE, BACKSLASH, LIST, END_OF_LIST, OBJECT, END_OF_OBJECT] = Buffer.from('"\\[]{}')

/**
 * Follows a JSON text, in UTF-8, that may arrive in several chunks, without parsing it.
 *
 * `isCrowded`: it has more objects and lists than `MAX_CONTAINERS`. 4 MiB can hold two million nested lists, whose parsing and
 * checking would block the event loop for half a second. Counting them takes milliseconds.
 *
 * `isComplete`: each object and list in it has ended. Only then can it be worth parsing.
 */
export function createJsonScanner () {
  let containers = 0
  let ended = 0
  let isInText = false
  let isEscaped = false

  return {
    take (chunk: Uint8Array) {
      for (let at = 0; at < chunk.length && containers <= MAX_CONTAINERS; at++) {
        const byte = chunk[at]
        if (isEscaped) isEscaped = false
        else if (isInText && byte === BACKSLASH) isEscaped = true
        else if (byte === QUOTE) isInText = !isInText
        else if (isInText) continue
        else if (byte === LIST || byte === OBJECT) containers++
        else if (byte === END_OF_LIST || byte === END_OF_OBJECT) ended++
      }
    },
    isCrowded: () => containers > MAX_CONTAINERS,
    isComplete: () => containers > 0 && containers === ended && !isInText
  }
}

/** Whether a JSON text has more objects and lists than `MAX_CONTAINERS`. */
export function isCrowded (json: Uint8Array): boolean {
  if (json.length <= MAX_CONTAINERS) return false
  const scanner = createJsonScanner()
  scanner.take(json)
  return scanner.isCrowded()
}
