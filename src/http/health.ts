import type { FastifyInstance } from 'fastify'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { UNAVAILABLE } from '../errors.ts'
import { answers, MessageOnlySchema } from './schema.ts'

export interface HealthOptions {
  isReady: () => Promise<unknown>
  isWorking?: (() => boolean) | undefined
  /** Problems outside of this server, which all instances share: a sentence for each, by name. They do not make it unready. */
  details: () => Promise<Record<string, string>>
}

/** Liveness of the process and readiness to serve, for people, containers and load balancers. */
export const healthRoutes: FastifyPluginAsyncTypebox<HealthOptions> =
  async function healthRoutes (app, { isReady, isWorking, details }) {
    app.get('/api/test', Running, async () => ({ message: 'Server is running' }))
    app.get('/health/live', Live, async () => ({ status: 'ok' }))
    app.get('/health/ready', Ready, async () => {
      await isReady()
      if (isWorking?.() === false) throw new UNAVAILABLE()
      const trouble = await details()
      return { status: 'ok', ...Object.keys(trouble).length > 0 && { details: trouble } }
    })
  }

/** While the server closes, it is not ready, refuses new requests on open connections, and closes those connections. */
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

const Running = { schema: { operationId: 'getGreeting', summary: 'Says that the server is running', tags: ['operation'], response: answers({ 200: MessageOnlySchema }) } }
const StatusSchema = Type.Object({ status: Type.String() }, { title: 'Status' })
const ALWAYS = { limit: false, pressure: false } as const
const Live = { config: ALWAYS, logLevel: 'warn' as const, schema: { operationId: 'getLiveness', summary: 'Says that the process lives', tags: ['operation'], response: answers({ 200: StatusSchema }) } }
const ReadySchema = Type.Object({
  ...StatusSchema.properties,
  details: Type.Optional(Type.Record(Type.String(), Type.String(), { description: 'What is in trouble outside of this server, as WhatsApp\'s account' }))
}, { title: 'Ready' })
const Ready = { config: ALWAYS, logLevel: 'warn' as const, schema: { operationId: 'getReadiness', summary: 'Says that the database answers and that jobs are done', tags: ['operation'], response: answers({ 200: ReadySchema }) } }
