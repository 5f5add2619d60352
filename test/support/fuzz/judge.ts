import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import * as errors from '../../../src/errors.ts'
import { isDay } from '../../../src/http/schema.ts'
import type { Route } from '../routes.ts'
import type { HttpRequest } from './http-request.ts'
import { mayStream, type HttpAnswer } from './send.ts'

/**
 * What is wrong with an answer. `origin` is the line of our code that caused a logged error. Faults with the same origin count as
 * one fault, and so do faults with the same kind and target.
 */
export interface Fault { kind: string, detail: string, origin?: string | undefined }

/** All error codes that an answer may have. */
export const CODES: ReadonlySet<string> = new Set(Object.values(errors).map(Failure => new Failure('', {} as never).code))

/** Codes of intended 503s: when the bot of a guest fails, `/chat` can show the failure only as an error. */
const MEANT = new Set(['BOT_FAILED'])

const ajv = new Ajv2020({
  strict: true,
  strictRequired: false,
  allowUnionTypes: true,
  allErrors: true,
  keywords: ['x-trimmed', 'x-rule', 'x-max-bytes'],
  formats: { date: isDay, 'date-time': (text: string) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(text) && !Number.isNaN(Date.parse(text)) }
})

type Json = Record<string, unknown>
type Responses = Record<string, { content?: Record<string, { schema?: Json }> }>

/** Compares an answer with the documentation. If the path or method is not documented, the answer must be an error in the usual format. */
export function createJudge (routes: Route[]) {
  const compiled = new Map<object, ValidateFunction>()

  return function judge (request: HttpRequest, answer: HttpAnswer): Fault | undefined {
    const { status, headers } = answer
    const code = codeIn(answer)
    if (status >= 500 && !(status === 503 && MEANT.has(code!))) return { kind: `status ${status}`, detail: answer.body.toString().slice(0, 500) }
    if ((status === 429 || status === 503) && headers['retry-after'] === undefined) return { kind: 'no Retry-After', detail: `status ${status}` }
    if (status === 405 && headers['allow'] === undefined) return { kind: 'no Allow', detail: 'status 405' }
    if (request.method === 'HEAD') return undefined // Node.js removes the body of these responses
    const route = routeOf(request)
    if (route === undefined && status < 400) return undefined
    // A hook may refuse a method that the path does not have before it is known which route is meant: then the error is JSON.
    if (route === undefined) return hasTextErrors(request) && /^text\/plain/.test(String(headers['content-type'])) ? faultOfText(answer) : faultOfError(answer)
    return faultOfDocumented(route, request, answer)
  }

  function routeOf (request: HttpRequest): Route | undefined {
    const path = decoded(sentPath(request))
    return path === undefined ? undefined : routes.find(route => route.method === request.method && patternOf(route.path).test(path))
  }

  /** Whether the routes at a path send errors as text. A documented route at it may be for another method, or need a parameter that is empty here. */
  function hasTextErrors (request: HttpRequest) {
    const path = (decoded(sentPath(request)) ?? '').replaceAll('//', '/-/')
    return routes.some(route => patternOf(route.path).test(path) && (route.responses as unknown as Responses)[400]!.content!['application/json'] === undefined)
  }

  function faultOfDocumented (route: Route, { url }: HttpRequest, answer: HttpAnswer): Fault | undefined {
    const { status, headers, body, isComplete } = answer
    const responses = route.responses as unknown as Responses
    const declared = responses[status]
    // The router refuses a path with a longer parameter before it looks for a route.
    if (declared === undefined && status === 404 && /[^/]{500,}/.test(url)) return faultOfError(answer)
    if (declared === undefined) return { kind: `status ${status} is not documented`, detail: body.toString().slice(0, 500) }
    if (declared.content === undefined) return body.length === 0 ? undefined : { kind: `a body with ${status}`, detail: body.toString().slice(0, 500) }
    const type = String(headers['content-type']).replace(/;.*/, '')
    const content = declared.content[type]
    if (content === undefined) return { kind: `${status} is ${type}, and documented as ${Object.keys(declared.content).join(', ')}`, detail: body.toString().slice(0, 500) }
    if (type === 'text/plain' && status >= 400) return faultOfText(answer)
    if (type === 'text/event-stream') return faultOfEvents(body.toString(), isComplete)
    const value = type === 'application/json' ? parsed(body) : body.toString()
    if (value === undefined) return { kind: `${status} is not JSON`, detail: body.toString().slice(0, 500) }
    const broken = content.schema && brokenRules(content.schema, value)
    if (broken) return { kind: `${status} breaks its schema: ${broken}`, detail: body.toString().slice(0, 500) }
    return status >= 400 && Object.hasOwn(content.schema?.['properties'] ?? {}, 'statusCode') ? faultOfError(answer) : undefined
  }

  function brokenRules (schema: Json, value: unknown) {
    const validate = compiled.get(schema) ?? ajv.compile(closed(schema) as Json)
    compiled.set(schema, validate)
    if (validate(value)) return undefined
    return validate.errors!.slice(0, 3).map(({ instancePath, message, params }) => `${instancePath.replace(/\d+/g, 'n')} ${message} ${JSON.stringify(params)}`).join('; ')
  }
}

/** An error for the AI SDK, which shows its body as it is: a sentence. */
function faultOfText ({ status, headers, body }: HttpAnswer): Fault | undefined {
  if (headers['content-type'] === 'text/plain; charset=utf-8' && /^[a-z][^{}]* [^{}]*$/i.test(body.toString())) return undefined
  return { kind: `an error that is not a sentence, ${status}`, detail: body.toString().slice(0, 500) }
}

/** Every error has the same three fields, for all routes. */
function faultOfError (answer: HttpAnswer): Fault | undefined {
  const body = parsed(answer.body) as { statusCode?: unknown, code?: unknown, error?: unknown } | undefined
  const detail = answer.body.toString().slice(0, 500)
  // OpenAI's clients get an object.
  const sentence = typeof body?.error === 'object' ? (body.error as { message?: unknown } | null)?.message : body?.error
  if (body?.statusCode !== answer.status || typeof sentence !== 'string' || sentence === '') return { kind: `an error in another format, ${answer.status}`, detail }
  return CODES.has(String(body.code)) ? undefined : { kind: `unknown error code ${String(body.code)}`, detail }
}

/** Every event of a stream has JSON data; `[DONE]` ends a stream of the AI SDK. Comments are keep-alives. */
function faultOfEvents (text: string, isComplete: boolean): Fault | undefined {
  const blocks = text.split('\n\n')
  const rest = blocks.pop()!
  if (isComplete && rest !== '') return { kind: 'a stream that ends inside an event', detail: rest.slice(0, 500) }
  for (const block of blocks) {
    const data = block.split('\n').filter(line => line.startsWith('data:')).map(line => line.slice(5)).join('\n')
    if (data !== '' && data !== ' [DONE]' && parsed(Buffer.from(data)) === undefined) return { kind: 'an event whose data is not JSON', detail: block.slice(0, 500) }
  }
}

/** The schema with `additionalProperties: false` in every object, so that an undocumented field is a fault, too. */
function closed (schema: unknown): unknown {
  if (typeof schema !== 'object' || schema === null) return schema
  if (Array.isArray(schema)) return schema.map(closed)
  const copy = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, closed(value)])) as Json
  return copy['type'] === 'object' && copy['properties'] !== undefined ? { additionalProperties: false, ...copy } : copy
}

function codeIn ({ body }: HttpAnswer) {
  return (parsed(body) as { code?: string } | null | undefined)?.code
}

export function parsed (body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    return undefined
  }
}

/** The path that is actually sent: `inject` resolves `.` and `..` segments, also if they are percent-encoded. */
function sentPath (request: HttpRequest) {
  const { url } = request
  return !mayStream(request) && URL.canParse(url, 'http://localhost') ? new URL(url, 'http://localhost').pathname : url.replace(/[?#].*/s, '')
}

function decoded (path: string) {
  try {
    return decodeURI(path)
  } catch {
    return undefined
  }
}

const patterns = new Map<string, RegExp>()

function patternOf (path: string) {
  const pattern = patterns.get(path) ?? new RegExp(`^${path.replace(/[.*+?^$()[\]\\|]/g, '\\$&').replace(/\{\w+\}/g, '[^/]+')}$`)
  patterns.set(path, pattern)
  return pattern
}
