import { normalizeIP } from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'

/**
 * The address that limits are counted by: of IPv6 the network of 64 bits, since one caller has all of it; an empty text
 * when the caller has left already.
 */
export function addressOf ({ ip }: Pick<FastifyRequest, 'ip'>): string {
  return normalizeIP(ip ?? '')
}
