import { Ajv2020 } from 'ajv/dist/2020.js'
import type { Draw } from './draw.ts'

/** The part of JSON Schema that our routes and events use. */
export interface Schema {
  type?: string | string[]
  enum?: unknown[]
  const?: unknown
  pattern?: string
  format?: string
  minLength?: number
  maxLength?: number
  minimum?: number
  maximum?: number
  items?: Schema
  minItems?: number
  maxItems?: number
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: Schema | boolean
  patternProperties?: Record<string, Schema>
  anyOf?: Schema[]
  oneOf?: Schema[]
  allOf?: Schema[]
  if?: Schema
  then?: Schema
  else?: Schema
}

/** Values that are likely to be accepted for a field, because they come from the server's responses or settings. */
export type Hints = (field: string) => readonly unknown[]

/** A value that a schema allows. If there are hints for a field, three of four values are hints. An array's hints are for its items. */
export function valueOf (draw: Draw, schema: Schema, hints: Hints, field = ''): unknown {
  const known = schema.type === 'array' ? [] : hints(field)
  if (known.length > 0 && draw.chance(75)) return draw.pick(known)
  if (schema.const !== undefined) return schema.const
  if (schema.enum !== undefined) return draw.pick(schema.enum)
  const alternatives = schema.anyOf ?? schema.oneOf
  if (alternatives !== undefined) return valueOf(draw, draw.pick(alternatives), hints, field)
  const type = Array.isArray(schema.type) ? draw.pick(schema.type) : schema.type
  switch (type) {
    case 'string': return textOf(draw, schema)
    case 'integer': return draw.integer(schema.minimum ?? -1000, schema.maximum ?? 1000)
    case 'number': return draw.chance(50) ? draw.integer(schema.minimum ?? 0, schema.maximum ?? 1000) : (schema.minimum ?? 0) + draw.below(100) / 100
    case 'boolean': return draw.chance(50)
    case 'null': return null
    case 'array': return arrayOf(draw, schema, hints, field)
    case 'object': return objectOf(draw, schema, hints)
    default: return draw.pick<unknown>(['anything', 1, true, null, {}, ['anything']])
  }
}

const WORDS = ['Hi', 'hello', 'Plans', 'a', 'Où est la gare ?', '@slow tell me', '@simulated hi', 'שלום', '你好，世界', '👩‍👩‍👧‍👦 family', 'line one\nline two', 'x'.repeat(300)]

/** A text without a documented length is short. For a pattern that fast-check cannot read, or that no short text matches, it is any text. */
function textOf (draw: Draw, { minLength = 0, maxLength = 1000, pattern, format }: Schema): string {
  if (format === 'date-time') return new Date(draw.integer(0, 4_000_000_000) * 1000).toISOString()
  const word = draw.pick([() => draw.pick(WORDS), () => `word ${draw.below(10_000)}`, () => `v${draw.text(20)}`])()
  const text = [...word.padEnd(minLength, 'o')].slice(0, draw.chance(3) ? maxLength : Math.min(maxLength, 400)).join('')
  if (pattern === undefined || new RegExp(pattern, 'u').test(text)) return text
  try {
    return draw.matching(pattern)
  } catch {
    return text
  }
}

function arrayOf (draw: Draw, { items = {}, minItems = 0, maxItems = 5 }: Schema, hints: Hints, field: string) {
  const count = minItems + draw.below(Math.min(maxItems, minItems + 4) - minItems + 1)
  const values = Array.from({ length: count }, () => valueOf(draw, items, hints, field))
  return [...new Map(values.map(value => [JSON.stringify(value), value])).values()]
}

function objectOf (draw: Draw, schema: Schema, hints: Hints) {
  const value: Record<string, unknown> = {}
  fill(draw, value, schema, hints)
  for (const part of [...schema.allOf ?? [], schema]) {
    const applies = part.if === undefined ? undefined : matches(part.if, value) ? part.then : part.else
    if (applies !== undefined) fill(draw, value, applies, hints)
  }
  return value
}

function fill (draw: Draw, value: Record<string, unknown>, { properties = {}, required = [], additionalProperties, patternProperties }: Schema, hints: Hints) {
  for (const [name, schema] of Object.entries(properties)) {
    if (required.includes(name) || name in value || draw.chance(50)) value[name] = valueOf(draw, schema, hints, name)
  }
  const free = Object.values(patternProperties ?? {})[0] ?? (typeof additionalProperties === 'object' ? additionalProperties : undefined)
  if (free !== undefined && draw.chance(30)) value[`key${draw.below(3)}`] = valueOf(draw, free, hints)
}

const ajv = new Ajv2020({ strict: false })
const compiled = new WeakMap<Schema, (value: unknown) => boolean>()

function matches (schema: Schema, value: unknown) {
  const check = compiled.get(schema) ?? ajv.compile(schema)
  compiled.set(schema, check)
  return check(value)
}
