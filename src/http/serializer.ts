import type { FastifyInstance } from 'fastify'
import fastJson, { type AnySchema } from 'fast-json-stringify'

/**
 * Compiles what writes answers as JSON when the first answer of its kind is written, and once for all routes that answer
 * alike: nearly all share their errors, which differ in their descriptions only. Each compilation takes time, and memory for good.
 */
export function serializeAlike (app: FastifyInstance) {
  const compiled = new Map<string, ReturnType<typeof fastJson>>()

  app.setSerializerCompiler<AnySchema>(({ schema }) => {
    const key = JSON.stringify({ ...schema as object, description: undefined })
    let serialize: ReturnType<typeof fastJson> | undefined
    return answer => {
      if (serialize === undefined) compiled.set(key, serialize = compiled.get(key) ?? fastJson(schema))
      return serialize(answer)
    }
  })
}
