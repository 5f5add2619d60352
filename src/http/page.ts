import { existsSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type, type Static } from 'typebox'
import { answers, MessageOnlySchema } from './schema.ts'

/** Where the build puts the page, both for what is built and for what is run from its source. */
const BUILT = fileURLToPath(new URL('../../dist/web', import.meta.url))

/** The page's content security policy: everything from this server, and no inline scripts. */
const PAGE_CSP = [
  "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'", "form-action 'self'",
  "base-uri 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"
].join('; ')

/**
 * Serves `/`: the web page to browsers, if it was built, and a status message to other clients. The page keeps its own
 * routes behind a #, so `/` is its only address. The names of its assets contain a hash of their content.
 */
export const page: FastifyPluginAsyncTypebox<{ folder?: string }> = async function page (app, { folder = BUILT }) {
  const isBuilt = existsSync(path.join(folder, 'index.html'))
  app.addHook('onRequest', async (_request, reply) => {
    reply.header('vary', [reply.getHeader('vary'), 'Accept', 'Accept-Encoding'].filter(Boolean).join(', '))
  })

  if (isBuilt) {
    await app.register(fastifyStatic, { root: path.join(folder, 'assets'), prefix: '/assets/', preCompressed: true, immutable: true, maxAge: '365d' })
  }

  app.get('/', Root, async ({ headers }, reply) => {
    if (!isBuilt || !/\btext\/html\b/i.test(headers.accept ?? '')) return { message: 'Server is running' }
    reply.header('content-security-policy', PAGE_CSP).header('cache-control', 'no-cache')
    return reply.sendFile('index.html', folder, { cacheControl: false })
  })
}

const PageOrMessage = Type.Unsafe<Static<typeof MessageOnlySchema>>({
  description: 'The web page, or that the server is running',
  content: { 'application/json': { schema: MessageOnlySchema }, 'text/html': { schema: { type: 'string' } } }
})

const Root = {
  schema: {
    operationId: 'getPage',
    summary: 'To a browser (`Accept: text/html`) the web page, to anyone else that the server is running',
    tags: ['operation'],
    response: answers({ 200: PageOrMessage })
  }
}
