import type { FastifyInstance } from 'fastify'
import type { Static, TSchema } from 'typebox'
import { Ajv, type AnySchemaObject, type KeywordDefinition, type SchemaValidateFunction } from 'ajv'
import { INVALID_JSON, INVALID_REQUEST, INVALID_TEXT, UNSUPPORTED_MEDIA_TYPE } from '../errors.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Makes a check of what comes in by another way than a body, by the same rules. @throws INVALID_REQUEST, INVALID_TEXT */
    checkOf: <T extends TSchema>(schema: T) => (value: unknown) => Static<T>
  }
}

/** 64 KiB; a body of one byte more is 413. */
export const BODY_LIMIT = 64 * 1024

/**
 * What comes in: JSON in UTF-8 and nothing else, an empty body is none, types are strict in bodies and read from text
 * in addresses and headers, and no text holds what Postgres or another client could not.
 */
export function acceptBodies (app: FastifyInstance) {
  const parseJson = app.getDefaultJsonParser('error', 'error')
  const utf8 = new TextDecoder('utf-8', { fatal: true })

  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    if (body.length === 0) return done(null, undefined)
    try {
      parseJson(request, utf8.decode(body), done)
    } catch {
      done(new INVALID_JSON())
    }
  })
  app.addContentTypeParser('*', (_request, _payload, done) => done(new UNSUPPORTED_MEDIA_TYPE()))

  app.addHook('preValidation', async ({ body }) => {
    if (!isWellFormed(body)) throw new INVALID_TEXT()
  })

  const ajv = new Ajv({ useDefaults: true, allErrors: true, allowUnionTypes: true, keywords: [trimmed], formats: { 'date-time': true } })
  app.decorate('checkOf', schema => {
    const validate = ajv.compile(schema)
    return function check (value) {
      if (!isWellFormed(value)) throw new INVALID_TEXT()
      if (!validate(value)) throw Object.assign(new INVALID_REQUEST(), { validation: validate.errors!, validationContext: 'data' })
      return value as Static<typeof schema>
    }
  })
  app.setValidatorCompiler<AnySchemaObject>(({ schema, httpPart }) => {
    const validate = ajv.compile(schema)
    if (httpPart === 'body') return validate
    return part => {
      readIntegers(part, schema)
      return validate(part) === true || { error: validate.errors! }
    }
  })
}

/** Turns text into the integers that a schema asks for, written as people write them: `1e0`, `0x1` and ` 1` stay text. */
function readIntegers (part: Record<string, unknown>, { properties = {} }: AnySchemaObject) {
  for (const [name, { type }] of Object.entries<AnySchemaObject>(properties)) {
    const text = part[name]
    if (type === 'integer' && typeof text === 'string' && /^-?\d+$/.test(text)) part[name] = Number(text)
  }
}

/** Trims a text in place, before its length is looked at. */
const trim: SchemaValidateFunction = function trim (_schema: true, text: string, _parent, at) {
  at!.parentData[at!.parentDataProperty] = text.trim()
  return true
}

const trimmed: KeywordDefinition = {
  keyword: 'x-trimmed', type: 'string', before: 'maxLength', modifying: true, errors: false, validate: trim
}

/** Whether no text in a parsed JSON value holds a NUL character or a lone surrogate; loops, since nesting may be deep. */
function isWellFormed (body: unknown) {
  const left = [body]
  while (left.length > 0) {
    const value = left.pop()
    if (typeof value === 'string' && (value.includes('\0') || !value.isWellFormed())) return false
    if (typeof value === 'object' && value !== null && !Buffer.isBuffer(value)) for (const inner of Object.values(value)) left.push(inner)
  }
  return true
}
