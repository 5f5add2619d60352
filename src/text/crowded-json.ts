/** The most objects and lists in one JSON body. A history of the shortest messages has about 200,000 in 4 MiB. */
export const MAX_CONTAINERS = 250_000

const [QUOTE, BACKSLASH, LIST, OBJECT] = Buffer.from('"\\[{')

/**
 * Whether a JSON text has more objects and lists than `MAX_CONTAINERS`. 4 MiB can hold two million nested lists, whose parsing
 * and checking would block the event loop for half a second. Counting them takes milliseconds, since texts are skipped.
 */
export function isCrowded (json: Buffer): boolean {
  if (json.length <= MAX_CONTAINERS) return false
  let containers = 0
  for (let at = 0; at < json.length; at++) {
    const byte = json[at]
    if (byte === QUOTE) at = endOfText(json, at)
    else if ((byte === LIST || byte === OBJECT) && ++containers > MAX_CONTAINERS) return true
  }
  return false
}

/** Where a text that begins at this quote ends: the index of its second quote, or the end of the JSON. */
function endOfText (json: Buffer, begin: number) {
  let at = json.indexOf(QUOTE!, begin + 1)
  while (at !== -1 && isEscaped(json, at)) at = json.indexOf(QUOTE!, at + 1)
  return at === -1 ? json.length : at
}

function isEscaped (json: Buffer, at: number) {
  let backslashes = 0
  while (json[at - 1 - backslashes] === BACKSLASH) backslashes++
  return backslashes % 2 === 1
}
