import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { METHOD_NOT_ALLOWED, NOT_FOUND } from '../errors.ts'

interface Known { path: RegExp, methods: string[], handleError: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => void }

/**
 * Answers an unknown path with 404, and a known path with another method with 405 and `Allow`, in the error format of that
 * path's routes. Call it before the routes are registered. Add the hook that it returns after those that count requests and set headers.
 */
export function refuseUnknown (app: FastifyInstance) {
  const known: Known[] = []

  app.addHook('onRoute', function remember ({ url, method, errorHandler }) {
    if (url === '*') return // CORS answers every OPTIONS
    const path = url.split('/').map(part => patternOf(part)).join('/')
    known.push({ path: new RegExp(`^${path}$`), methods: [method].flat(), handleError: errorHandler ?? this.errorHandler })
  })

  app.setNotFoundHandler(async () => { throw new NOT_FOUND() })

  return async function refuse (request: FastifyRequest, reply: FastifyReply) {
    if (!request.is404) return
    const path = request.url.replace(/[?#].*/s, '')
    const routes = known.filter(route => route.path.test(path))
    const methods = new Set(routes.flatMap(route => route.methods))
    if (methods.size === 0 || methods.has(request.method)) throw new NOT_FOUND()
    reply.header('allow', [...methods].sort().join(', '))
    routes[0]!.handleError(new METHOD_NOT_ALLOWED(), request, reply)
    return reply
  }
}

/** The regular expression of one segment of a route's path: a parameter matches any segment, a wildcard matches the rest. */
function patternOf (part: string) {
  if (part.startsWith(':')) return '[^/]+'
  return part === '*' ? '.*' : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
