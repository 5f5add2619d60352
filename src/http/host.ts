import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** Whether an IP address is this machine's own loopback address, however it is written. */
export function isLoopback (address: string): boolean {
  return ipaddr.isValid(address) && ipaddr.process(address).range() === 'loopback'
}

/** Matches the headers with which proxies name the original client. Each kind of proxy has names of its own. */
const FORWARDED = /(^|-)(forwarded|via)(-|$)|(real|client|connecting|remote|source)-?(ip|addr|host)|^(cf|cdn|fastly|fly|x-(amz|amzn|arr|azure|envoy|goog|nginx|original|proxy|varnish|vercel))-/

/** Whether a proxy has forwarded this request, by its headers. */
export function isForwarded (headers: IncomingHttpHeaders): boolean {
  return Object.keys(headers).some(name => FORWARDED.test(name))
}

/** Whether a `Host` header names the loopback address: localhost or an address, with or without a port. */
export function isLoopbackHost (host: string | undefined): boolean {
  const name = nameOf(host)
  return name !== undefined && (name === 'localhost' || isLoopback(name))
}

/**
 * Whether a request may come from a page that uses DNS rebinding: a page of an attacker whose host name suddenly resolves to our
 * address. Its `Origin` and `Host` are the same, so CORS does not stop it. A request to an IP address cannot be rebound, because no
 * name was resolved. Behind a proxy, the proxy checks the host name.
 */
export function isRebound (headers: IncomingHttpHeaders): boolean {
  const { origin, host } = headers
  const name = nameOf(host)
  if (origin === undefined || name === undefined || isIP(name) !== 0 || isForwarded(headers)) return false
  return URL.canParse(origin) && new URL(origin).host === host!.toLowerCase()
}

/** The name or address in a `Host` header, without port and brackets; undefined if there is none or it is malformed. */
function nameOf (host: string | undefined) {
  return /^(?:\[([\da-f:.]+)\]|([\w.-]+))(?::\d+)?$/i.exec(host ?? '')?.slice(1).find(part => part !== undefined)?.toLowerCase()
}
