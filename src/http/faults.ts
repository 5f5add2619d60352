import type { AnySchemaObject, ErrorObject } from 'ajv'
import { INVALID_REQUEST } from '../errors.ts'

/** What is wrong with one value: where it is, as `bots.0`, and the rest of a sentence that begins with that. */
export interface Fault { path: string, message: string }

/** A small body may break a rule ten thousand times: the answer stays small, too. */
const MAX_FAULTS = 20

/** A path may hold a name that the client chose. */
const MAX_NAME_LENGTH = 100

/** An INVALID_REQUEST whose sentence tells the first fault, with an entry for each of them. `place` names the whole value. */
export function invalidRequest (faults: Fault[], place = 'body') {
  const { path, message } = faults[0]!
  return Object.assign(new INVALID_REQUEST(), { message: path === '' ? `The ${place} ${message}` : `${path} ${message}`, details: faults })
}

/**
 * The validator's errors in words for people, one for each value that is wrong. The validator reports some faults several
 * times: a failed `if` adds its own error to that of its branch, a union adds those of all its branches, a name of an entry
 * those of its own schema, and one value
 * may break several rules of its schema, of which the first is told.
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

/** The rest of a sentence for each keyword that a schema of ours may be broken by. */
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

/** What a schema says in `x-rule`, where its keywords do not say it to people. */
function ruleOf ({ parentSchema }: ErrorObject) {
  return (parentSchema!['x-rule'] as string | undefined) ?? 'is not valid'
}

const NAMES: Record<string, string> = {
  string: 'a string', number: 'a number', integer: 'a whole number', boolean: 'true or false', array: 'a list', object: 'an object', null: 'null'
}

function describe ({ type, minimum, maximum }: AnySchemaObject) {
  const names = [type].flat().map((name: string) => NAMES[name]).join(' or ')
  if (minimum === undefined) return maximum === undefined ? names : `${names} of at most ${format(maximum)}`
  return maximum === undefined ? `${names} of at least ${format(minimum)}` : `${names} from ${format(minimum)} to ${format(maximum)}`
}

function count (number: number, what: 'character' | 'entry') {
  const plural = what === 'entry' ? 'entries' : 'characters'
  return `${format(number)} ${number === 1 ? what : plural}`
}

function format (number: number) {
  return number.toLocaleString('en-US')
}
