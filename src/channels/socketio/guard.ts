import type { IncomingMessage } from 'node:http'
import proxyAddr from '@fastify/proxy-addr'
import type { FastifyBaseLogger } from 'fastify'
import type { Config } from '../../config.ts'
import { TOO_MANY_SOCKETS } from '../../errors.ts'
import { addressOf, createProxyTrust } from '../../http/address.ts'
import { createLimiter } from '../../http/limiter.ts'
import { createOpenCount } from '../../http/open-count.ts'
import type { LiveSocket } from './events.ts'

type Connection = LiveSocket['conn']

/** The most packets of a connection in a period of milliseconds: ten times the limit on events. */
const FLOOD = { packets: 1_000, period: 10_000 }

/** Separates the packets in a request of long polling. @see https://socket.io/docs/v4/engine-io-protocol/ */
const SEPARATOR = '\x1e'

/**
 * An address with too many sockets may open this much more than its share, so that Socket.IO can tell those clients why
 * they are refused; beyond that the handshake itself is refused.
 */
const REFUSED_WITH_REASON_FACTOR = 1.2

export type GuardConfig = Pick<Config, 'RATE_LIMITS' | 'RATE_LIMIT_HANDSHAKE' | 'SOCKETS_PER_USER' | 'SOCKETS_PER_ADDRESS' | 'TRUST_PROXY'>

export interface GuardOptions {
  config: GuardConfig
  log: Pick<FastifyBaseLogger, 'warn'>
  /** Tells the client that it sent too much, and closes the connection. */
  cut: (connection: Connection) => void
}

/** Limits how many sockets an address or a user may open, and how much each may send. */
export function createSocketGuard ({ config, log, cut }: GuardOptions) {
  const hasLimits = config.RATE_LIMITS === 'on'
  const isTrusted = createProxyTrust(config.TRUST_PROXY)
  const handshakes = createLimiter(config.RATE_LIMIT_HANDSHAKE, 60)
  const most = config.SOCKETS_PER_ADDRESS
  const ofAddress = createOpenCount(Math.ceil(most * REFUSED_WITH_REASON_FACTOR))
  const ofUser = createOpenCount(config.SOCKETS_PER_USER)

  /** The client's address, found as Fastify does for requests. An upgrade is not one. */
  const senderOf = (request: IncomingMessage) => addressOf({ ip: proxyAddr(request, isTrusted) })

  return {
    senderOf,

    /** Before a connection is begun, by polling or WebSocket. @throws TOO_MANY_REQUESTS, TOO_MANY_SOCKETS */
    async admit (request: IncomingMessage): Promise<void> {
      if (!hasLimits) return
      const address = senderOf(request)
      if (ofAddress.count(address) >= Math.ceil(most * REFUSED_WITH_REASON_FACTOR)) throw new TOO_MANY_SOCKETS()
      await handshakes.count(address)
    },

    /** Counts a connection until it closes, and disconnects it when it sends too much. */
    watch (connection: Connection) {
      if (!hasLimits) return
      const remove = ofAddress.add(senderOf(connection.request))
      if (remove === undefined) return connection.close(true)
      connection.once('close', remove)
      if (connection.transport.name === 'polling') boundPackets(connection.transport)

      let began = performance.now()
      let packets = 0
      connection.on('packet', () => {
        if (performance.now() - began > FLOOD.period) [began, packets] = [performance.now(), 0]
        if (++packets !== FLOOD.packets + 1) return
        log.warn({ address: senderOf(connection.request) }, 'A socket was disconnected because it sent too many packets')
        cut(connection)
      })
    },

    /** Counts a socket whose user is known until its connection closes. @throws TOO_MANY_SOCKETS */
    enter (connection: Connection, userId: number) {
      if (!hasLimits || connection.readyState !== 'open') return
      const remove = ofAddress.count(senderOf(connection.request)) > most ? undefined : ofUser.add(String(userId))
      if (remove === undefined) throw new TOO_MANY_SOCKETS()
      connection.once('close', remove)
    }
  }
}

/**
 * Keeps only as many packets of one request as disconnect its sender. The engine parses all packets of a request before the first one
 * is counted: 4 MiB have room for two million, which would block the event loop for a second, and need no login.
 */
function boundPackets (polling: Connection['transport']) {
  const onData = polling['onData'].bind(polling)
  polling['onData'] = (data: string) => onData(data.split(SEPARATOR, FLOOD.packets + 1).join(SEPARATOR))
}
