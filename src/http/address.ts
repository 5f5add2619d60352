import { normalizeIP } from '@fastify/rate-limit'
import proxyAddr from '@fastify/proxy-addr'
import type { FastifyRequest } from 'fastify'

/**
 * The address that limits count by. For IPv6 it is the /64 network, because one client usually has all of its addresses. An empty
 * string when the client has already disconnected.
 */
export function addressOf ({ ip }: Pick<FastifyRequest, 'ip'>): string {
  return normalizeIP(withoutPort(ip ?? ''))
}

/** Makes a check of whether `X-Forwarded-For` counts when it comes from an address. `proxies` is the setting `TRUST_PROXY`. */
export function createProxyTrust (proxies: string | undefined) {
  const isTrusted = proxyAddr.compile(proxies?.split(',').map(part => part.trim()) ?? [])
  // The type says text, but a client that has disconnected has no address.
  return (address: string, hop: number) => isTrusted(withoutPort(String(address)), hop)
}

/**
 * Removes the port from an address. Some proxies, such as Azure's Application Gateway, write `203.0.113.7:50123` to `X-Forwarded-For`.
 * Each connection has another port, so with the port each connection would count as another client, and no limit would ever be reached.
 */
function withoutPort (address: string) {
  return address.replace(/^\[(.*)\](?::\d+)?$|^(\d+(?:\.\d+){3}):\d+$/, '$1$2')
}
