/**
 * Reads how long to wait, in milliseconds: `Retry-After`, which is in seconds or a date, or a header of Azure and OpenAI that is
 * more exact. Some servers send fractions of seconds, or a unit. A header that a gateway has sent again counts once.
 * @see RFC 9110, section 10.2.3
 */
export function retryAfterMs (headers: Pick<Headers, 'get'>): number | undefined {
  const exact = Number.parseFloat(headers.get('retry-after-ms') ?? headers.get('x-ms-retry-after-ms') ?? '')
  if (exact >= 0) return exact
  const value = headers.get('retry-after')
  if (value === null) return undefined
  const seconds = /^(\d+(?:\.\d*)?) ?s?(?:,|$)/.exec(value)?.[1]
  const after = seconds === undefined ? Date.parse(value) - Date.now() : Number(seconds) * 1000
  return Number.isNaN(after) ? undefined : Math.max(0, after)
}
