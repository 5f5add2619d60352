import { normalizeIP } from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'

/**
 * The address that limits count by. For IPv6 it is the /64 network, because one client usually has all of its addresses. An empty
 * string when the client has already disconnected.
 */
export function addressOf ({ ip }: Pick<FastifyRequest, 'ip'>): string {
  return normalizeIP(ip ?? '')
}
