import { sign } from '../../../src/channels/whatsapp/signature.ts'
import type { Headers } from '../helper.ts'
import { APP_SECRET } from '../meta.ts'
import type { Route } from '../routes.ts'
import type { Caller } from './callers.ts'
import type { Draw } from './draw.ts'
import { CONTENT_TYPES, hostileHeader, HEADER_VALUES, METHODS, QUERIES, SEGMENTS, SPOILS, STRINGS } from './hostile.ts'
import { drawBody } from './body.ts'
import { hintsFor } from './hints.ts'
import { mutate } from './mutate.ts'
import { valueOf, type Hints, type Schema } from './values.ts'
import { collectionOf, type World } from './world.ts'

/** How a request was generated: valid, wrong in one way, or wrong in several ways. */
export type Kind = 'valid' | 'near-valid' | 'hostile'

export interface HttpRequest {
  kind: Kind
  method: string
  url: string
  /** The headers without the caller's credentials. */
  headers: Headers
  body?: Buffer
  /** The caller's credentials. */
  credentials: 'cookie' | 'bearer'
  /** The name of the path's resource in `learned`, and its ids. */
  collection: string
  ids: string[]
}

const KINDS: readonly Kind[] = ['valid', 'valid', 'valid', 'valid', 'valid', 'near-valid', 'near-valid', 'near-valid', 'hostile', 'hostile']

/** Generates a request to a route from the documentation. */
export async function drawHttpRequest (draw: Draw, world: World, route: Route, caller: Caller): Promise<HttpRequest> {
  const kind = draw.pick(KINDS)
  const hints = hintsFor(world, route)
  const parts = await drawValid(draw, world, route, caller, hints)
  const times = { valid: 0, 'near-valid': 1, hostile: 2 + draw.below(3) }[kind]
  for (let n = 0; n < times; n++) draw.pick(waysToSpoil(draw, world, route, parts))()
  if (kind === 'hostile') for (let n = draw.below(4); n > 0; n--) addHeader(parts.headers, hostileHeader(draw))

  const { segments, query, headers, spoiled } = parts
  const path = route.path.replace(/\{(\w+)\}/g, () => segments.shift() ?? '1')
  const body = spoiled?.body ?? (parts.body === undefined ? undefined : Buffer.from(JSON.stringify(parts.body)))
  if (body !== undefined && headers['content-type'] === undefined) headers['content-type'] = 'application/json'
  if (kind !== 'hostile' && takesSignature(route)) headers['x-hub-signature-256'] = sign(body ?? '', APP_SECRET)
  return {
    kind,
    method: parts.method,
    url: query === '' ? path : `${path}?${query}`,
    headers: { ...headers, ...spoiled?.headers },
    ...body !== undefined && { body },
    credentials: draw.pick(['bearer', 'cookie'] as const),
    collection: collectionOf(route.path),
    ids: parts.ids
  }
}

interface Parts {
  method: string
  ids: string[]
  segments: string[]
  query: string
  headers: Headers
  body: unknown
  spoiled?: ReturnType<typeof SPOILS[number]>
}

async function drawValid (draw: Draw, world: World, route: Route, caller: Caller, hints: Hints): Promise<Parts> {
  const { method, parameters = [], example } = route
  const ids = await drawIds(draw, world, route, caller)
  const headers: Headers = example?.headers !== undefined && draw.chance(80) ? { ...example.headers } : {}
  for (const { name, schema, required } of parameters.filter(parameter => parameter.in === 'header')) {
    if (required || draw.chance(25)) headers[name] = String(valueOf(draw, schema as Schema, hints, name))
  }
  if (route.responses[200]?.content?.['text/event-stream'] !== undefined && draw.chance(25)) headers['accept'] = 'text/event-stream'
  if (draw.chance(20)) headers['user-agent'] = `generated/${draw.below(10_000)}`
  return { method, ids, segments: [...ids], query: drawQuery(draw, route, hints), headers, body: drawBody(draw, world, route, hints) }
}

function drawQuery (draw: Draw, { parameters = [], example }: Route, hints: Hints) {
  if (example?.query !== undefined && draw.chance(60)) return example.query
  const query = new URLSearchParams()
  for (const { name, schema, required } of parameters.filter(parameter => parameter.in === 'query')) {
    if (required || draw.chance(25)) query.set(name, String(valueOf(draw, schema as Schema, hints, name)).toWellFormed())
  }
  if (draw.chance(25)) query.set('ref', String(draw.below(10_000)))
  return query.toString()
}

/** Ids of a resource that this caller has seen. If there is none, one is created if a documented route can do that. */
async function drawIds (draw: Draw, { learned, routes, ask }: World, route: Route, caller: Caller): Promise<string[]> {
  const depth = route.path.split('{').length - 1
  if (depth === 0) return []
  const collection = collectionOf(route.path).split('/{}').slice(0, depth).join('/{}')
  const known = () => learned.idsOf(collection, caller.name)
  if (known().length === 0 && depth === 1 && caller.role !== 'nobody') {
    const how = routes.find(({ method, path }) => method === 'POST' && path === collection)
    if (how?.example?.body !== undefined) await ask(caller, 'POST', collection, { ...how.example.body, name: `made${draw.below(10_000)}` })
  }
  const [ids] = known().length > 0 ? [draw.pick(known().toReversed())] : [[]]
  while (ids.length < depth) ids.push(...draw.pick(fallback(learned, caller)))
  return ids.slice(0, depth)
}

/** Ids of conversations that this caller has seen; otherwise 1 to 3, which may belong to others. */
function fallback (learned: World['learned'], caller: Caller): string[][] {
  const known = learned.idsOf('/api/conversations', caller.name)
  return known.length > 0 ? known : [['1'], ['2'], ['3']]
}

function waysToSpoil (draw: Draw, world: World, route: Route, parts: Parts): Array<() => void> {
  const { segments, headers } = parts
  const takesBody = parts.body !== undefined
  return [
    ...takesBody
      ? [
          () => { parts.body = mutate(draw, parts.body) },
          () => { parts.body = mutate(draw, parts.body) },
          () => { parts.spoiled = draw.pick(SPOILS)(JSON.stringify(parts.body ?? {})) },
          () => { headers['content-type'] = draw.pick(CONTENT_TYPES) }
        ]
      : [() => { parts.spoiled = draw.pick(SPOILS)('{"name":"x","text":"y"}') }],
    ...segments.length > 0 ? [() => { segments[draw.below(segments.length)] = draw.pick(SEGMENTS) }] : [],
    () => { parts.query = draw.pick(QUERIES) },
    () => { parts.query = wrongQuery(draw, route) },
    () => { addHeader(headers, wrongHeader(draw, route)) },
    () => { addHeader(headers, hostileHeader(draw)) },
    () => { headers['authorization'] = `Bearer ${draw.pick(world.oddTokens)}` },
    () => { parts.method = draw.pick(METHODS) }
  ]
}

function wrongQuery (draw: Draw, { parameters = [] }: Route) {
  const names = parameters.filter(parameter => parameter.in === 'query').map(({ name }) => name)
  const value = draw.chance(50) ? draw.pick(SEGMENTS) : encodeURIComponent(draw.pick(STRINGS).toWellFormed().slice(0, 8000))
  return `${draw.pick(names.length > 0 ? names : ['limit', 'before', 'after', 'cursor'])}=${value}`
}

function wrongHeader (draw: Draw, { parameters = [] }: Route): readonly [string, string] {
  const names = parameters.filter(parameter => parameter.in === 'header').map(({ name }) => name)
  return [draw.pick(names.length > 0 ? names : ['idempotency-key', 'last-event-id', 'x-api-key', 'authorization']), draw.pick(HEADER_VALUES)]
}

/** Uses `defineProperty`, because in a literal or an assignment `__proto__` would set the prototype. */
function addHeader (headers: Headers, [name, value]: readonly [string, string]) {
  Object.defineProperty(headers, name, { value, enumerable: true, writable: true, configurable: true })
}

function takesSignature ({ parameters = [], method }: Route) {
  return method === 'POST' && parameters.some(({ name }) => name === 'x-hub-signature-256')
}
