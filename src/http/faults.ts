import type { AnySchemaObject, ErrorObject } from 'ajv'
import { INVALID_REQUEST } from '../errors.ts'

/** A problem of one value: its path, such as `bots.0`, and the rest of a sentence that begins with the path. */
export interface Fault { path: string, message: string }

/** The most problems in one answer: a small body may have ten thousand. */
const MAX_FAULTS = 20

/** The longest name in a path, because a client may have chosen it. */
const MAX_NAME_LENGTH = 100

/** Makes an INVALID_REQUEST with the first problem as its sentence and all of them in `details`. `place` names the whole value. */
export function invalidRequest (faults: Fault[], place = 'body') {
  const { path, message } = faults[0]!
  return Object.assign(new INVALID_REQUEST(), { message: path === '' ? `The ${place} ${message}` : `${path} ${message}`, details: faults })
}

/**
 * Puts the validator's errors into words, one for each invalid value. The validator reports some problems several times: a failed
 * `if` adds its own error to that of its branch, a union adds those of all its branches, and the name of an entry those of its own
 * schema. If a value breaks several rules of its schema, only the first one is reported.
 * @param errors made with `verbose: true`
 */
export function faultsIn (errors: ErrorObject[]): Fault[] {
  const unions = errors.filter(({ keyword }) => ['anyOf', 'oneOf', 'propertyNames'].includes(keyword)).map(({ schemaPath }) => `${schemaPath}/`)
  const byPath = new Map<string, Fault>()
  for (const error of errors) {
    if (error.keyword === 'if' || unions.some(union => error.schemaPath.startsWith(union))) continue
    const path = pathOf(error)
    if (!byPath.has(path)) byPath.set(path, { path, message: (WORDS[error.keyword] ?? ruleOf)(error) })
    if (byPath.size === MAX_FAULTS) break
  }
  return [...byPath.values()]
}

function pathOf ({ instancePath, params }: ErrorObject) {
  const name = params['missingProperty'] ?? params['additionalProperty'] as string | undefined
  const steps = [...instancePath.split('/').slice(1), ...name === undefined ? [] : [name]]
  return steps.map(step => step.slice(0, MAX_NAME_LENGTH)).join('.')
}

type Words = (error: ErrorObject) => string

const limit = ({ params }: ErrorObject) => params['limit'] as number
const allowedValue: Words = ({ parentSchema }) => `must be ${describe(parentSchema!)}`

/** The rest of the sentence for each keyword that our schemas use. */
export const WORDS: Record<string, Words> = {
  type: error => error.instancePath === '' && error.data === null ? 'is required' : allowedValue(error),
  minimum: allowedValue,
  maximum: allowedValue,
  required: () => 'is required',
  minLength: error => limit(error) === 1 ? 'must not be empty' : `needs at least ${count(limit(error), 'character')}`,
  maxLength: error => `may have at most ${count(limit(error), 'character')}`,
  minItems: error => `needs at least ${count(limit(error), 'entry')}`,
  maxItems: error => `may have at most ${count(limit(error), 'entry')}`,
  maxProperties: error => `may have at most ${count(limit(error), 'entry')}`,
  minProperties: ruleOf,
  'x-max-bytes': ruleOf,
  propertyNames: () => 'has an entry whose name is not allowed',
  uniqueItems: () => 'must not have the same entry twice',
  enum: ({ params }) => `must be one of ${params['allowedValues'].join(', ')}`,
  additionalProperties: () => 'is not a known field',
  pattern: ruleOf,
  format: ruleOf,
  not: ruleOf,
  anyOf: ruleOf,
  oneOf: ruleOf
}

/** The rule in `x-rule`, for keywords that cannot be put into words, such as a pattern. */
function ruleOf ({ parentSchema }: ErrorObject) {
  return (parentSchema!['x-rule'] as string | undefined) ?? 'is not valid'
}

const NAMES: Record<string, string> = {
  string: 'a string', number: 'a number', integer: 'a whole number', boolean: 'true or false', array: 'a list', object: 'an object', null: 'null'
}

function describe ({ type, minimum, maximum }: AnySchemaObject) {
  const names = [type].flat().map((name: string) => name === 'number' || name === 'integer' ? `${NAMES[name]}${range()}` : NAMES[name])
  return names.join(' or ')

  function range () {
    if (minimum === undefined) return maximum === undefined ? '' : ` of at most ${format(maximum)}`
    return maximum === undefined ? ` of at least ${format(minimum)}` : ` from ${format(minimum)} to ${format(maximum)}`
  }
}

function count (number: number, what: 'character' | 'entry') {
  const plural = what === 'entry' ? 'entries' : 'characters'
  return `${format(number)} ${number === 1 ? what : plural}`
}

function format (number: number) {
  return number.toLocaleString('en-US')
}
