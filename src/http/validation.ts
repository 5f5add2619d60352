import { Ajv, type AnySchemaObject, type FuncKeywordDefinition, type ValidateFunction } from 'ajv'
import type { FastifyError } from 'fastify'
import { faultsIn, invalidRequest } from './faults.ts'
import { createNarrow } from './narrow.ts'
import { isDay } from './schema.ts'

/** A copy of a value that holds what its schema names, or what is wrong with it, in words. */
export type Checked = { value: unknown } | { error: FastifyError }

const KEYWORDS = { keywords: ['x-trimmed', 'x-rule'], formats: { 'date-time': true as const, date: isDay }, allowUnionTypes: true, ownProperties: true }

/** Postgres parses JSON recursively and refuses what is nested too deeply, and so does `JSON.stringify`. */
const MAX_LEVELS = 100

/** `x-max-bytes`: how many bytes a value may take as JSON. */
const MAX_BYTES: FuncKeywordDefinition = { keyword: 'x-max-bytes', schemaType: 'number', validate: isWithin }

/** Whether a JSON value takes at most this many bytes. Goes down level by level, so that deep nesting cannot overflow the stack. */
function isWithin (bytes: number, value: unknown) {
  let level = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_LEVELS) return false
    level = level.flatMap(one => typeof one === 'object' && one !== null ? Object.values(one) : [])
  }
  return Buffer.byteLength(JSON.stringify(value)) <= bytes
}

/**
 * Makes checks of schemas. Each is compiled when it is used for the first time: most routes of most servers are never called,
 * and compiling all of their schemas would take time at the start and memory for good.
 *
 * A value is narrowed first, so that the validator meets no text and no list that is much
 * longer than its schema allows: with `allErrors` it would go on to match patterns after the length was found wrong.
 */
export function createValidation () {
  const ajv = new Ajv({ ...KEYWORDS, useDefaults: true, allErrors: true, verbose: true }).addKeyword(MAX_BYTES)

  /** For the branches of conditions and unions, which are parts of schemas and must not change the value. */
  const branches = new Ajv({ ...KEYWORDS, strictTypes: false }).addKeyword(MAX_BYTES)
  const compiled = new WeakMap<AnySchemaObject, ValidateFunction>()
  const narrow = createNarrow((schema, value) => {
    const validate = compiled.get(schema) ?? branches.compile(schema)
    compiled.set(schema, validate)
    return validate(value) === true
  })

  /** @returns a check, whose second argument names the whole value in a sentence: `body` */
  return function compile (schema: AnySchemaObject) {
    let compiledSchema: ValidateFunction | undefined
    return function check (given: unknown, place: string): Checked {
      const validate = compiledSchema ??= ajv.compile(schema)
      const value = narrow(given, schema)
      return validate(value) ? { value } : { error: invalidRequest(faultsIn(validate.errors!), place) }
    }
  }
}
