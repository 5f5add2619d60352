import type { FastifyInstance } from 'fastify'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { UNAVAILABLE } from '../errors.js'
import { answers, MessageOnlySchema } from './schema.js'

/** Whether the process lives, and whether it can do its work: asked by people, containers and load balancers. */
export const healthRoutes: FastifyPluginAsyncTypebox<{ isReady: () => Promise<unknown>, isWorking?: (() => boolean) | undefined }> =
  async function healthRoutes (app, { isReady, isWorking }) {
    app.get('/api/test', Running, async () => ({ message: 'Server is running' }))
    app.get('/health/live', Live, async () => ({ status: 'ok' }))
    app.get('/health/ready', Ready, async () => {
      await isReady()
      if (isWorking?.() === false) throw new UNAVAILABLE()
      return { status: 'ok' }
    })
  }

/** From the moment that it closes, a server is not ready, takes nothing new on the connections that are open, and keeps none. */
export function refuseWhenClosing (app: FastifyInstance) {
  let isClosing = false
  app.addHook('preClose', async () => { isClosing = true })
  app.addHook('onRequest', async () => {
    if (isClosing) throw new UNAVAILABLE()
  })
  app.addHook('onSend', async (_request, reply) => {
    if (isClosing) reply.header('connection', 'close')
  })
}

const Running = { schema: { summary: 'Says that the server is running', tags: ['operation'], response: answers({ 200: MessageOnlySchema }) } }
const StatusSchema = Type.Object({ status: Type.String() })
const ALWAYS = { limit: false, pressure: false } as const
const Live = { config: ALWAYS, logLevel: 'warn' as const, schema: { summary: 'Says that the process lives', tags: ['operation'], response: answers({ 200: StatusSchema }) } }
const Ready = { config: ALWAYS, logLevel: 'warn' as const, schema: { summary: 'Says that the database answers and that jobs are done', tags: ['operation'], response: answers({ 200: StatusSchema }) } }
