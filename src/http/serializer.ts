import type { FastifyInstance } from 'fastify'
import fastJson, { type AnySchema } from 'fast-json-stringify'

/**
 * Compiles what writes answers as JSON, once for all routes that answer alike: nearly all share their errors, which
 * differ in their descriptions only, and each compilation takes time at the start and memory for good.
 */
export function serializeAlike (app: FastifyInstance) {
  const compiled = new Map<string, ReturnType<typeof fastJson>>()

  app.setSerializerCompiler<AnySchema>(({ schema }) => {
    const key = JSON.stringify({ ...schema as object, description: undefined })
    const serialize = compiled.get(key) ?? fastJson(schema)
    compiled.set(key, serialize)
    return serialize
  })
}
