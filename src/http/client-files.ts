import { existsSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import type { FastifyPluginAsync } from 'fastify'

/** Where the build puts the client, both for what is built and for what is run from its source. */
const BUILT_CLIENT = fileURLToPath(new URL('../../dist/client', import.meta.url))

const TYPES = { 'client.js': 'text/javascript; charset=utf-8', 'client.tgz': 'application/gzip' }

/**
 * Serves our own client, so that it always fits the server: as a module for browsers and as an npm package, if they were built.
 * Pages of all origins may load them, since they contain nothing that is secret.
 */
export const clientFiles: FastifyPluginAsync<{ folder?: string }> = async function clientFiles (app, { folder = BUILT_CLIENT }) {
  if (!Object.keys(TYPES).every(file => existsSync(path.join(folder, file)))) return
  await app.register(fastifyStatic, { root: folder, serve: false, preCompressed: true, cacheControl: false, contentType: false })
  for (const [file, type] of Object.entries(TYPES)) {
    app.get(`/${file}`, { schema: { hide: true } }, async (_request, reply) => {
      reply.type(type).header('cache-control', 'no-cache').header('vary', [reply.getHeader('vary'), 'Accept-Encoding'].filter(Boolean).join(', '))
      if (!reply.hasHeader('access-control-allow-origin')) reply.header('access-control-allow-origin', '*')
      return reply.sendFile(file)
    })
  }
}
