import { UNAUTHORIZED } from '../errors.ts'
import { exampleOf, TEXTS } from './openapi-examples.ts'

type Json = Record<string, unknown>
interface Content { schema: Json, example?: unknown }
interface Response { description: string, content?: Record<string, Content> }
interface Parameter { name: string, required?: boolean, schema?: unknown }
interface Operation {
  operationId: string
  security?: unknown
  parameters?: Array<Parameter | { $ref: string }>
  requestBody?: { content: Record<string, Content> }
  responses: Record<string, Response | { $ref: string }>
}
export interface Document { paths: Record<string, Record<string, Operation>>, components: Json }

/** Statuses of errors that have little to do with what an operation does. */
const GENERAL = ['413', '415', '429', '500', '503']

/** Where an operation lists a response. Those of OpenAI's API list the other errors together, too, because its clients look at the status. */
function placeOf (status: string, path: string) {
  if (GENERAL.includes(status)) return 'default'
  return path.startsWith('/v1/') && status >= '400' ? '4XX' : status
}

/** A response of fewer characters of JSON is not worth a reference. */
const SHORT_RESPONSE = 60

const SUCCESS: Record<string, string> = { 200: 'Success', 201: 'Created', 204: 'Done; the answer has no body' }

/**
 * Makes the description of the API short and easy to generate clients from. Schemas with a `title` become components of that
 * name, other bodies are named after their operation. Responses and parameters that several operations share become components, too. Every body
 * and answer gets an example, but for errors of several statuses: the `GENERAL` ones of an operation become one response, its `default`.
 * An operation at a second path has the `operationId` of the first one with `UnderApi` behind it.
 */
export function tidy (document: Document): Document {
  const schemas: Record<string, Json> = {}
  const ids = new Set<string>()
  const byPath = Object.entries(document.paths).flatMap(([path, methods]) => Object.values(methods).map(operation => ({ path, operation })))
  const operations = byPath.map(({ operation }) => operation)
  for (const { path, operation } of byPath) {
    const id = operation.operationId
    if (ids.has(id)) operation.operationId = `${id}UnderApi`
    ids.add(id)
    const name = `${id[0]!.toUpperCase()}${id.slice(1)}`
    for (const parameter of operation.parameters as Parameter[] | undefined ?? []) parameter.schema = named(parameter.schema)
    for (const content of Object.values(operation.requestBody?.content ?? {})) describe(content, `${name}Body`)
    for (const [status, response] of Object.entries(operation.responses)) {
      const { content, description } = response as Response
      const isError = Number(status) >= 400
      if (SUCCESS[status] !== undefined) (response as Response).description = SUCCESS[status]
      for (const [type, one] of Object.entries(content ?? {})) {
        if (isError) delete one.schema['description'] // the plugin copies the response's there
        if (placeOf(status, path) !== status) {
          one.schema = named(one.schema) as Json
          continue
        }
        const error = isError ? errorOf(status, description) : undefined
        if (type === 'application/json') describe(one, `${name}Answer`, error)
        else one.example = error?.['error'] ?? exampleIn(one) ?? TEXTS[type]
      }
    }
    if (isSaidByLogin(operation)) delete operation.responses['401']
    operation.responses = joinErrors(operation.responses as Record<string, Response>, path)
  }
  const responses = shareResponses(operations)
  const parameters = shareParameters(operations)
  return { ...document, components: { ...document.components, schemas, responses, parameters } }

  /** Takes the example out of the schema of a body that is not JSON. */
  function exampleIn ({ schema }: Content) {
    const [example] = schema['examples'] as string[] | undefined ?? []
    delete schema['examples']
    return example
  }

  function describe (content: Content, name: string, error?: Json) {
    content.schema = named(content.schema, name) as Json
    const example = exampleOf(content.schema, schemas)
    content.example = error === undefined ? example : withError(example as Json, error)
  }

  /** A reference in place of an id or a rev, which are in most schemas. */
  function numberIn ({ type, minimum, maximum, ...rest }: Json) {
    if (type !== 'integer' || maximum !== Number.MAX_SAFE_INTEGER) return undefined
    const name = minimum === 0 ? 'Rev' : 'Id'
    schemas[name] ??= { type, minimum, maximum }
    return { $ref: `#/components/schemas/${name}`, ...rest }
  }

  /** The schema with references to components in place of the objects that have a name, or of the whole body that gets this one. */
  function named (schema: unknown, name?: string): unknown {
    if (Array.isArray(schema)) return schema.map(part => named(part))
    if (typeof schema !== 'object' || schema === null) return schema
    const number = numberIn(schema as Json)
    if (number !== undefined) return number
    const { title, 'x-trimmed': _ours, ...rest } = schema as Json
    const isObject = rest['type'] === 'object'
    const component = typeof title === 'string' ? title : isObject ? name : undefined
    const parts = Object.fromEntries(Object.entries(typeof title === 'string' ? rest : { ...rest, ...title !== undefined && { title } }).map(([key, part]) => [key, named(part, key === 'items' ? name : undefined)]))
    if (component === undefined) return parts
    const known = schemas[component] ??= parts
    if (JSON.stringify(known) !== JSON.stringify(parts)) throw new Error(`Two schemas have the title ${component}: please give each its own.`)
    return { $ref: `#/components/schemas/${component}` }
  }
}

/** The first of the errors in the description of a response. */
function errorOf (status: string, description: string): Json {
  const [, code, error] = /^(\w+): ([^;]+)/.exec(description)!
  const details = code === 'INVALID_REQUEST' && { details: [{ path: 'text', message: 'is missing' }] }
  return { statusCode: Number(status), code, error, ...details }
}

/** The example of an error in the words of one of the clients that `docs/compatibility.md` lists: more fields, of the same meaning. */
function withError (example: Json, { details, ...error }: Json): Json {
  const same = Object.fromEntries(Object.keys(example).filter(name => ['msg', 'message', 'bot_message'].includes(name)).map(name => [name, error['error']]))
  const { details: _unused, ...rest } = example
  return { ...rest, ...same, ...error, ...details !== undefined && { details } }
}

/** Whether the 401 errors of an operation are all described at the document's logins. One that has no other error keeps it: a linter wants one. */
function isSaidByLogin ({ security, responses }: Operation) {
  const { description, content = {} } = (responses['401'] ?? {}) as Partial<Response>
  return security === undefined && Object.keys(content).join() === 'application/json' && description === `UNAUTHORIZED: ${new UNAUTHORIZED().message}` &&
    Object.keys(responses).some(status => status.startsWith('4') && status !== '401' && !GENERAL.includes(status))
}

/** Joins the errors that are listed in one place, with the status of each: `INTERNAL (500): …; UNAVAILABLE (503): …`. */
function joinErrors (responses: Record<string, Response>, path: string): Record<string, Response> {
  const joined: Record<string, Response> = {}
  for (const [status, response] of Object.entries(responses)) {
    const place = placeOf(status, path)
    const description = place === status ? response.description : codesWithStatus(status, response.description)
    const known = joined[place]
    joined[place] = known === undefined ? { ...response, description } : { ...known, description: `${known.description}; ${description}` }
  }
  return joined
}

/** Puts the status behind each code in a list of errors, for a place that is not under this status. */
export function codesWithStatus (status: string | number, description: string) {
  return description.replace(/(^|; )([A-Z_]+):/g, `$1$2 (${status}):`)
}

/** Moves the parameters that several operations have into components, named after themselves. */
function shareParameters (operations: Operation[]) {
  const all = operations.flatMap(({ parameters = [] }) => parameters as Parameter[])
  for (const parameter of all) if (parameter.required === false) delete parameter.required // the default
  const counts = countEach(all)
  const shared = new Map<string, string>()
  const components: Json = {}
  for (const operation of operations) {
    operation.parameters = (operation.parameters as Parameter[] | undefined)?.map(parameter => {
      const text = JSON.stringify(parameter)
      if (counts.get(text) === 1) return parameter
      const name = shared.get(text) ?? freeName(parameter.name, components)
      shared.set(text, name)
      components[name] = parameter
      return { $ref: `#/components/parameters/${name}` }
    })
  }
  return components
}

/** How often each of these values is there, by its JSON. */
function countEach (values: unknown[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const value of values) counts.set(JSON.stringify(value), (counts.get(JSON.stringify(value)) ?? 0) + 1)
  return counts
}

/** Moves the responses that several operations have into components, unless a reference to it would be as long. */
function shareResponses (operations: Operation[]) {
  const counts = countEach(operations.flatMap(({ responses }) => Object.values(responses)))
  const shared = new Map<string, string>()
  const components: Json = {}
  for (const { responses } of operations) {
    for (const [status, response] of Object.entries(responses)) {
      const text = JSON.stringify(response)
      if (counts.get(text) === 1 || text.length < SHORT_RESPONSE) continue
      const name = shared.get(text) ?? nameOf(response as Response, components)
      shared.set(text, name)
      components[name] = response
      responses[status] = { $ref: `#/components/responses/${name}` }
    }
  }
  return components
}

/** The first error's code, or the name of the schema, or the media type, with a number where another response has that name. */
function nameOf ({ description, content }: Response, taken: Json) {
  const [, code] = /^([A-Z_]+)(?: \(\d+\))?: /.exec(description) ?? []
  if (code !== undefined) return freeName(inPascalCase(code), taken)
  const [, schema] = /#\/components\/schemas\/(\w+)/.exec(JSON.stringify(content)) ?? []
  return freeName(schema ?? inPascalCase(Object.keys(content!)[0]!.split('/')[1]!), taken)
}

function inPascalCase (words: string) {
  return words.toLowerCase().replace(/(?:^|[_-])(.)/g, (_whole, letter: string) => letter.toUpperCase())
}

function freeName (name: string, taken: Json) {
  let free = name
  for (let n = 2; free in taken; n++) free = `${name}${n}`
  return free
}
