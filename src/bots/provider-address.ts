/**
 * Where a provider's API has `path`, and the headers that let us in. Azure's older addresses keep their version in the query.
 * Some providers, among them Azure, show their users the address with the path, so it may be there already.
 */
export function providerRequest (baseUrl: string, path: string, key: string) {
  const url = new URL(baseUrl)
  const base = url.pathname.replace(/(?<!\/)\/+$/, '')
  url.pathname = base.endsWith(path) ? base : `${base}${path}`
  // Those addresses take the key in a header of their own.
  const headers: Record<string, string> = url.searchParams.has('api-version') ? { 'api-key': key } : {}
  return { url, headers: { authorization: `Bearer ${key}`, ...headers } }
}
