import { lookup as lookupName, type LookupAddress } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import ipaddr from 'ipaddr.js'
import { buildConnector } from 'undici'
import { failure } from './bot.ts'

/** Resolves a name, as `dns.lookup` does. */
export type Lookup = typeof lookupName

/**
 * Makes a connector that connects to public addresses only, and to those that `allow` lists: names, addresses or networks,
 * separated by commas. It checks the resolved address to which it then connects. So it cannot be evaded by another spelling of an
 * address, or by a name that resolves to another address the second time (DNS rebinding). `timeout` is in milliseconds.
 */
export function createFencedConnector (allow: string, timeout: number, lookup: Lookup = lookupName): buildConnector.connector {
  const allowed = allow.split(',').map(part => part.trim().toLowerCase()).filter(part => part !== '')
  const networks = allowed.flatMap(part => isIP(part.replace(/\/.*/, '')) === 0 ? [] : [networkOf(part)])

  const mayConnect = (address: string) => {
    const parsed = ipaddr.process(address.replace(/%.*/, ''))
    return isPublic(parsed) || networks.some(([network, bits]) => network.kind() === parsed.kind() && parsed.match(network, bits))
  }

  const fencedLookup: LookupFunction = (name, options, callback) => {
    lookup(name, { ...options, all: true }, (error, found: LookupAddress[]) => {
      if (error !== null) return callback(error, '')
      const inside = allowed.includes(name.toLowerCase()) ? undefined : found.find(({ address }) => !mayConnect(address))
      if (inside !== undefined) return callback(refused(`${name} is ${inside.address}, which`), '')
      callback(null, found)
    })
  }

  const connect = buildConnector({ timeout, lookup: fencedLookup, autoSelectFamily: true }) // so that all addresses are asked for
  return function connectOutside (options, callback) {
    const host = options.hostname.replace(/^\[|\]$/g, '')
    if (isIP(host) !== 0 && !mayConnect(host)) return callback(refused(host), null)
    connect(options, callback)
  }
}

/**
 * Addresses that are registered as public but reach internal services of a cloud from inside it: Azure's platform address
 * (agents' secrets, DNS), IBM Cloud's service endpoints. They are not in IANA's lists of special addresses.
 * @see https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
 * @see https://cloud.ibm.com/docs/vpc?topic=vpc-service-endpoints-for-vpc
 */
const PLATFORMS = ['168.63.129.16/32', '161.26.0.0/16', '166.8.0.0/14'].map(network => ipaddr.parseCIDR(network))

/** The network for documentation of RFC 9637, which ipaddr.js takes for unicast. */
const NOT_ROUTED = ipaddr.parseCIDR('3fff::/20')

/** Whether an address is public. Of IPv6, only 2000::/3 is, without the networks that embed IPv4 addresses, such as 6to4, or that are not routed. */
function isPublic (address: ipaddr.IPv4 | ipaddr.IPv6) {
  if (address.range() !== 'unicast') return false
  if (address.kind() === 'ipv4') return !PLATFORMS.some(network => address.match(network))
  return address.match(ipaddr.parseCIDR('2000::/3')) && !address.match(NOT_ROUTED)
}

function networkOf (text: string) {
  const [address, bits] = ipaddr.parseCIDR(text.includes('/') ? text : `${text}/${isIP(text) === 4 ? 32 : 128}`)
  return [address, bits] as const
}

function refused (what: string) {
  return failure('BOT_REFUSED', new Error(`${what} is inside our own network`))
}
