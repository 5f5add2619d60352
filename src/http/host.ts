import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** Whether an IP address is this machine's own loopback address, however it is written. */
export function isLoopback (address: string): boolean {
  return ipaddr.isValid(address) && ipaddr.process(address).range() === 'loopback'
}

/** Headers by which proxies tell whose request it is. Each kind of proxy has names of its own. */
const FORWARDED = /(^|-)(forwarded|via)(-|$)|(real|client|connecting|remote|source)-?(ip|addr|host)|^(cf|cdn|fastly|fly|x-(amz|amzn|arr|azure|envoy|goog|nginx|original|proxy|varnish|vercel))-/

/** Whether a proxy says that it passes on somebody else's request. */
export function isForwarded (headers: IncomingHttpHeaders): boolean {
  return Object.keys(headers).some(name => FORWARDED.test(name))
}

/** Whether a `Host` header names the loopback address: localhost or an address, with or without a port. */
export function isLoopbackHost (host: string | undefined): boolean {
  const name = nameOf(host)
  return name !== undefined && (name === 'localhost' || isLoopback(name))
}

/**
 * Whether a browser sends this from a page that it takes for ours by a name: `Origin` and `Host` are the same. A page
 * whose name suddenly resolves to our address (DNS rebinding) looks like that, and CORS does not hold it back. An
 * address as the host cannot be rebound, since no name was resolved; and behind a proxy, the proxy knows its names.
 */
export function isRebound (headers: IncomingHttpHeaders): boolean {
  const { origin, host } = headers
  const name = nameOf(host)
  if (origin === undefined || name === undefined || isIP(name) !== 0 || isForwarded(headers)) return false
  return URL.canParse(origin) && new URL(origin).host === host!.toLowerCase()
}

/** A host's name, or its address without brackets; undefined where there is none, or it has more in it than a name. */
function nameOf (host: string | undefined) {
  return /^(?:\[([\da-f:.]+)\]|([\w.-]+))(?::\d+)?$/i.exec(host ?? '')?.slice(1).find(part => part !== undefined)?.toLowerCase()
}
