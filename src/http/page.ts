import { existsSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { answers, MessageOnlySchema } from './schema.js'

/** Where the build puts the page, both for what is built and for what is run from its source. */
const BUILT = fileURLToPath(new URL('../../dist/web', import.meta.url))

/** For the page: it takes everything from here, runs nothing that is not in a file, and draws nothing that it did not bring. */
const PAGE_CSP = [
  "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'", "form-action 'self'",
  "base-uri 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"
].join('; ')

/**
 * What is at `/`: to a browser the web page, where it was built, to anyone else that the server runs. The page's own
 * addresses stand behind a #, so that no other one is needed. What it loads has its content's hash in its name.
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

const Root = {
  schema: {
    summary: 'To a browser (`Accept: text/html`) the web page, to anyone else that the server is running',
    tags: ['operation'],
    response: answers({ 200: MessageOnlySchema })
  }
}
