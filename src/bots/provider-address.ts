/** Where a provider's API has `path`, and the headers that let us in. Azure's older addresses keep their version in the query. */
export function providerRequest (baseUrl: string, path: string, key: string) {
  const url = new URL(baseUrl)
  url.pathname = `${url.pathname.replace(/(?<!\/)\/+$/, '')}${path}`
  // Those addresses take the key in a header of their own.
  const headers: Record<string, string> = url.searchParams.has('api-version') ? { 'api-key': key } : {}
  return { url, headers: { authorization: `Bearer ${key}`, ...headers } }
}
