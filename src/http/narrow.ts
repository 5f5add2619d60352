import type { AnySchemaObject } from 'ajv'
import { trimmed } from '../text/text.ts'

type Matches = (schema: AnySchemaObject, value: unknown) => boolean

/**
 * Makes `narrow`, which copies a JSON value down to what its schemas name. Fields that no schema names are left out, so
 * that no handler can see them. Texts marked `x-trimmed` are trimmed. A text or a list that is longer than its schema
 * allows is cut a little behind that limit: the validator still refuses it, and never matches or walks through the rest.
 *
 * Schemas that apply together (`allOf`, a branch of `if`, the matching branches of `anyOf` and `oneOf`) add up: a field
 * stays when any of them names it. A schema that names no fields at all, such as `{}`, leaves an object as it is.
 */
export function createNarrow (matches: Matches) {
  return (value: unknown, schema: AnySchemaObject) => narrow(value, [schema])

  function narrow (value: unknown, schemas: AnySchemaObject[]): unknown {
    const parts = schemas.some(hasInner) ? schemas.flatMap(schema => partsOf(schema, value)) : schemas
    if (typeof value === 'string') return narrowText(value, parts)
    if (Array.isArray(value)) return narrowList(value, parts)
    if (typeof value !== 'object' || value === null || Buffer.isBuffer(value) || parts.every(namesNothing)) return value
    return narrowObject(value as Record<string, unknown>, parts)
  }

  /** Fields keep their order. A body may have 100,000: those that no schema names cost no more than a look. */
  function narrowObject (object: Record<string, unknown>, parts: AnySchemaObject[]) {
    const copy: Record<string, unknown> = {}
    for (const name of Object.keys(object)) {
      const named = parts.length === 1 ? schemasOf(parts[0]!, name) : parts.flatMap(part => schemasOf(part, name))
      if (named.length > 0) setField(copy, name, narrow(object[name], named))
    }
    return copy
  }

  function narrowText (text: string, parts: AnySchemaObject[]) {
    const seen = parts.some(part => part['x-trimmed']) ? trimmed(text) : text
    // A code point takes one or two UTF-16 units: what is left has at least one code point too many.
    return seen.slice(0, 2 * (smallest(parts, 'maxLength') + 1))
  }

  function narrowList (list: unknown[], parts: AnySchemaObject[]) {
    const items = parts.flatMap(({ items }) => items ?? [])
    const short = list.slice(0, smallest(parts, 'maxItems') + 1)
    return items.length === 0 ? short : short.map(item => narrow(item, items))
  }

  /** A schema and all that applies together with it to this value. */
  function partsOf (schema: AnySchemaObject, value: unknown): AnySchemaObject[] {
    const { allOf = [], anyOf = [], oneOf = [] } = schema
    const branch = schema['if'] === undefined ? undefined : schema[matches(schema['if'], value) ? 'then' : 'else']
    const choices: AnySchemaObject[] = [...anyOf, ...oneOf]
    const possible = choices.filter(choice => mayMatch(choice, value))
    // The validator alone decides about a value that can only match one branch.
    const chosen = possible.length === 1 ? possible : possible.filter(choice => matches(choice, narrow(value, [choice])))
    // Where no branch matches, the validator refuses the value, and must see all of it to do so.
    const inner = [...allOf, ...branch === undefined ? [] : [branch], ...chosen.length > 0 ? chosen : choices]
    return [schema, ...inner.flatMap(part => partsOf(part, value))]
  }
}

/** An assignment to `__proto__` would change the prototype of the object. `Object.fromEntries` would not, but takes several times as long. */
function setField (object: Record<string, unknown>, name: string, value: unknown) {
  if (name === '__proto__') Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true })
  else object[name] = value
}

/** Whether other schemas apply together with this one. */
function hasInner (schema: AnySchemaObject) {
  return 'allOf' in schema || 'anyOf' in schema || 'oneOf' in schema || 'if' in schema
}

/**
 * False for an object that a branch refuses at first sight, because a text in it, as the `type` of a part, is none of those that
 * the branch lists. Every branch of such a union must name and require that field: a branch that does not would drop it, and the
 * validator could then take the object for one of a branch that was refused.
 */
function mayMatch ({ properties = {} }: AnySchemaObject, value: unknown) {
  if (typeof value !== 'object' || value === null) return true
  const fields = value as Record<string, unknown>
  return Object.entries<AnySchemaObject>(properties).every(([name, { enum: listed, 'x-trimmed': isTrimmed }]) =>
    listed === undefined || isTrimmed || typeof fields[name] !== 'string' || listed.includes(fields[name]))
}

function smallest (parts: AnySchemaObject[], limit: 'maxLength' | 'maxItems') {
  return Math.min(...parts.map(part => part[limit] ?? Infinity))
}

/** Whether a schema names fields in another way than one by one. */
function isOpen (part: AnySchemaObject) {
  return 'patternProperties' in part || 'additionalProperties' in part
}

function namesNothing (part: AnySchemaObject) {
  return !('properties' in part) && !isOpen(part)
}

const NONE: AnySchemaObject[] = []

/** What a schema says of a field of this name; nothing when it does not name it. */
function schemasOf ({ properties = {}, patternProperties, additionalProperties }: AnySchemaObject, name: string): AnySchemaObject[] {
  const own = Object.hasOwn(properties, name) ? [properties[name]] : NONE
  const byPattern = patternProperties === undefined ? NONE : Object.keys(patternProperties).filter(pattern => new RegExp(pattern, 'u').test(name)).map(pattern => patternProperties[pattern])
  const named = byPattern.length === 0 ? own : [...own, ...byPattern]
  if (named.length > 0 || additionalProperties === undefined) return named
  // `false` keeps the field as well, for the validator to refuse it by its name.
  return [typeof additionalProperties === 'object' ? additionalProperties : {}]
}
