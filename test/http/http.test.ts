import t from 'tap'
import { once } from 'node:events'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Readable } from 'node:stream'
import type { InjectOptions, LightMyRequestResponse } from 'fastify'
import { pino } from 'pino'
import { settings, startApp, type Headers } from '../support/helper.ts'
import { startLive } from '../support/live.ts'
import { exchange } from '../support/raw-http.ts'
import { begin, documentedRoutes, everythingIn, placesOf, readDescription, rightRequest, send, type Method, type Parameter, type Route, type Schema, type Server } from '../support/routes.ts'

const KIB = 1024
const DEEP = '['.repeat(30_000) + ']'.repeat(30_000)
const JSON_TYPE = { 'content-type': 'application/json' }
const LISTED = 'http://localhost:3000'
const UNLISTED = 'https://elsewhere.example'

// --- input that is wrong ---

/** A request that is wrong in one way, and the expected code. Without a code, any refusal is accepted. */
interface Wrong { how: string, code?: string, path?: Record<string, string>, query?: string, headers?: Headers, payload?: InjectOptions['payload'] }

t.test('every wrong request is refused with a sentence, as documented, and nothing is stored', async t => {
  const server = await startApp(t)
  for (const route of await documentedRoutes(server)) {
    if (!takesSomething(route) || isWebhook(route)) continue
    const missing = explainMissing(route)
    if (missing !== undefined) {
      t.fail(missing)
      continue
    }
    const { ann, url } = await begin(server, route)
    const before = await everythingIn(server)
    const complaints = []
    for (const wrong of allThatIsWrong(route)) {
      const target = url(wrong.path, wrong.query)
      const answer = await send(server, route, target, { ...ann.headers, ...wrong.headers }, wrong.payload)
      complaints.push(...complaintsAbout(answer, wrong, route).map(complaint => `${wrong.how}: ${complaint}`))
    }
    t.same(complaints, [], route.name)
    t.same(await everythingIn(server), before, `${route.name}: nothing was stored`)

    const { headers, payload } = rightRequest(route)
    const exactly = payload && Buffer.concat([payload, Buffer.alloc(limitOf(route) - payload.length, ' ')])
    const answer = await send(server, route, url(), { ...ann.headers, ...headers }, exactly)
    t.equal(answer.statusCode, route.example.status, `${route.name}: the example is accepted, in a body of the maximum size`)
  }
})

/** Meta signs the body's bytes. whatsapp.test.ts tests wrong webhooks. */
function isWebhook ({ method, path }: Route) {
  return method === 'POST' && path.endsWith('/whatsapp')
}

function takesSomething ({ method, parameters, body }: Route) {
  return method !== 'GET' || parameters !== undefined || body !== undefined
}

function explainMissing ({ name, path, example, body }: Route) {
  if (example === undefined) return `${name} is new: please add an example of it to \`examples\` in routes.ts`
  if (body !== undefined && example.body === undefined) return `${name} takes a body: please add one to its example in routes.ts`
  const unknown = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!).find(name => !(name in placesOf(path)))
  return unknown && `${name} has a parameter {${unknown}}: please add a value for it to \`placesOf\` in routes.ts`
}

function allThatIsWrong (route: Route): Wrong[] {
  const { parameters = [] } = route
  return [
    ...parameters.flatMap(parameter => wrongParameters(route, parameter)),
    ...['before', 'after'].every(name => parameters.some(parameter => parameter.name === name))
      ? [{ how: 'before and after together', code: 'INVALID_REQUEST', query: 'before=2&after=1' }]
      : [],
    ...route.method === 'GET' ? [] : wrongBodies(limitOf(route)),
    ...route.body === undefined ? [] : [...wrongValues(route.body), ...wrongFields(route)]
  ]
}

const BAD_INTEGERS = {
  fractional: '1.5',
  'with a decimal point': '1.0',
  'an exponent': '1e0',
  hexadecimal: '0x1',
  'with a space': '%201',
  'with a plus': '%2B1',
  'a word': 'one',
  'a boolean': 'true',
  'a NUL': '%00',
  'not UTF-8': '%ff',
  'larger than the largest number': '9'.repeat(400),
  'of 300 digits': '1'.repeat(300),
  'an injection': "1'%20OR%201=1--"
}

const BAD_CURSORS = {
  random: 'l7vR2n0q',
  empty: '',
  'a NUL': '%00',
  'not UTF-8': '%ff%fe',
  garbage: cursor(Buffer.from([0, 255, 128, 7])),
  'a list': cursor('[1, 2]'),
  'an injection': cursor("1' OR 1=1-- 1"),
  'negative numbers': cursor('-1 -1'),
  'a year of more than four digits': cursor('999999999999999 1'),
  'a time beyond the range of Date': cursor('8640000000000001 1'),
  'numbers of 100 digits': cursor(`${'9'.repeat(50)} ${'9'.repeat(50)}`),
  'leading zeros': cursor('01 01'),
  'in base64 instead of base64url': encodeURIComponent(Buffer.from('1700000000000 1?>').toString('base64')),
  'very long': 'A'.repeat(10_000),
  'two of them': `${cursor('1 1')}&cursor=${cursor('1 1')}`
}

function cursor (text: string | Buffer) {
  return Buffer.from(text).toString('base64url')
}

/** Wrong values for parameters that are strings, as written in a URL. */
const BAD_TEXTS: Record<string, string[]> = {
  after: ['x'.repeat(101), '%00', 'a&after=b'],
  contact: ['', 'x'.repeat(201), '%00', '1&contact=2'],
  bot: ['x'.repeat(201), '%00', 'a&bot=b'],
  model: ['x'.repeat(201), '%00', 'a&model=b'],
  from: ['', 'yesterday', '2026-13-01', '2026-01-32', '20260101', '2026-01-01T00:00:00Z', '%00'],
  q: ['', '%20', 'x'.repeat(101), '%00', 'a&q=b'],
  action: ['', 'user', '%00', 'user.lock&action=user.lock'],
  state: ['', 'lost', '%00', 'SENT', 'sent&state=read'],
  return_to: ['', '%00', 'c/7', 'https%3A%2F%2Fevil.example', '%2F%2Fevil.example', '%23%2F%C3%A4', `%23%2F${'x'.repeat(500)}`, '%23%2F&return_to=%23%2F'],
  since: ['', 'yesterday', '2026-11-21', '2026-13-01T00:00:00Z', '2026-11-21T25:00:00Z', '2026-11-21T10:00:00+01:00', '%00', '20261-11-21T10:00:00Z']
}

function wrongParameters ({ path }: Route, parameter: Parameter): Wrong[] {
  const { in: place, name, schema: { type, minimum = 0, maximum = 0 } } = parameter
  const code = 'INVALID_REQUEST'
  if (name === 'idempotency-key') {
    const keys = { empty: '', 'of 256 characters': 'k'.repeat(256), 'not ASCII': 'clé', 'with a control character': 'a\x01b' }
    return Object.entries(keys).map(([how, key]) => ({ how: `${name} ${how}`, code, headers: { [name]: key } }))
  }
  // Whatever a provider answers is valid, up to a length.
  if (path === '/api/oidc/callback') return ['x'.repeat(8_001), `a&${name}=b`].map(text => ({ how: `${name} ${text.slice(0, 50)}`, code, query: `${name}=${text}` }))
  if (name === 'x-api-key') {
    return [
      { how: 'an empty key', code: 'MISSING_API_KEY', headers: { [name]: '' } },
      { how: 'a wrong key', code: 'INVALID_API_KEY', headers: { [name]: 'wrong' } },
      { how: 'a very long key', code: 'INVALID_API_KEY', headers: { [name]: 'k'.repeat(10_000) } }
    ]
  }
  if (name === 'cursor') {
    return Object.entries(BAD_CURSORS).map(([how, text]) => ({ how: `a cursor, ${how}`, query: `cursor=${text}` }))
  }
  if (name === 'before' && type === 'string') {
    return ['', 'yesterday', '2026-13-01', '2026-01-32', '20260101', '2026-01-01T00:00:00Z', '%00'].map(day => ({ how: `before ${day}`, code, query: `before=${day}` }))
  }
  if (name === 'last-event-id' && type === 'string') return [{ how: `${name} of 101 characters`, code, headers: { [name]: 'x'.repeat(101) } }]
  if (name.startsWith('hub.')) {
    return [
      { how: 'no query', code: 'WRONG_VERIFY_TOKEN', query: '' },
      { how: `${name} empty`, code: 'WRONG_VERIFY_TOKEN', query: `${name}=` },
      { how: `${name} twice`, code: 'INVALID_REQUEST', query: `${name}=1&${name}=2` }
    ]
  }
  if (name === 'external_id') return ['%00', '%20', 'a%20b', '%C3%BC', 'x'.repeat(256)].map(text => ({ how: `${name} ${text}`, code, path: { [name]: text } }))
  if (name === 'bot' && place === 'path' && type === 'string') return ['%00', '%20', 'a%20b', '%C3%BC', 'x'.repeat(65)].map(text => ({ how: `${name} ${text}`, code, path: { [name]: text } }))
  if (place === 'path' && type === 'string') return (path.startsWith('/v1/') ? ['x'.repeat(201)] : /\/(chat|threads)\/\{id\}/.test(path) ? ['%C3%A9', '%0A', '%00', 'x'.repeat(256)] : ['Hello', 'a-b', '%00', '%20']).map(text => ({ how: `${name} ${text}`, code, path: { [name]: text } }))
  if (type !== 'integer' && name in BAD_TEXTS) return BAD_TEXTS[name]!.map(text => ({ how: `${name} ${text.slice(0, 50)}`, code, query: `${name}=${text}` }))
  if (type !== 'integer') throw new Error(`please add wrong values for ${name}, in the ${place} of ${path}, to BAD_TEXTS`)
  const bad = { ...BAD_INTEGERS, 'too small': `${minimum - 1}`, negative: '-1', 'too large': `${BigInt(maximum) + 1n}` }
  const all = Object.entries(bad).map(([how, text]) => ({ how: `${name} ${how}`, text }))
  if (place === 'path') return all.map(({ how, text }) => ({ how, path: { [name]: text }, ...how.endsWith('UTF-8') ? {} : { code } }))
  const more = [{ how: `${name} empty`, text: '' }, { how: `${name} twice`, text: `1&${name}=2` }]
  return [...all, ...more].map(({ how, text }) => ({ how, code, ...place === 'header' ? { headers: { [name]: text } } : { query: `${name}=${text}` } }))
}

/** The largest body that a route accepts. Routes for long texts accept more. */
function limitOf ({ name, method, path }: Route) {
  if (name.endsWith('with the AI SDK') || path.startsWith('/v1/') || /ag-ui(.\{bot\})?$/.test(path)) return 4 * KIB * KIB
  const takesText = /chat(.\{id\}.stop)?$|admin.(bots|whatsapp.templates)|messages(.\{message\})?$/.test(path) && ['POST', 'PUT', 'PATCH'].includes(method)
  return takesText ? 1.5 * KIB * KIB : 64 * KIB
}

/** Bodies that are refused before their fields are validated. */
function wrongBodies (limit: number): Wrong[] {
  const large = `{"padding":"${'x'.repeat(limit + 1 - 14)}"}`
  return [
    ...['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/xml', 'json', ';'].map(type => (
      { how: `of type ${type}`, code: 'UNSUPPORTED_MEDIA_TYPE', headers: { 'content-type': type }, payload: Buffer.from('{}') })),
    { how: 'of no type', code: 'UNSUPPORTED_MEDIA_TYPE', payload: Buffer.from('{}') },
    ...json('INVALID_JSON', {
      'half an object': '{"a":',
      'two objects': '{}{}',
      'a single quote': "{'a': 1}",
      'not JSON': 'hello',
      'a prototype': '{"__proto__": {"isAdmin": true}}',
      'a prototype of a constructor': '{"constructor": {"prototype": {"isAdmin": true}}}',
      'not UTF-8': Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]),
      'an overlong character': Buffer.from([0x7b, 0x22, 0xc0, 0x80, 0x22, 0x3a, 0x31, 0x7d]),
      'UTF-16': Buffer.from('{"a": 1}', 'utf16le')
    }),
    ...json('INVALID_TEXT', { 'a NUL character': '{"a": "\\u0000"}', 'half a surrogate pair': '{"a": ["\\ud800"]}', 'the other half of a surrogate pair': '{"a": "\\udc00"}' }),
    ...json('INVALID_REQUEST', { 'a number that is too large': '{"a": [1e999]}', 'a negative number that is too large': '{"a": {"b": -1e999}}' }),
    ...json('BODY_TOO_LARGE', { 'a byte too large': large, 'a byte too large, in pieces': Readable.from([large.slice(0, 100), large.slice(100)]) })
  ]
}

/** JSON bodies that are not objects. */
function wrongValues ({ required = [] }: Schema): Wrong[] {
  return json('INVALID_REQUEST', {
    'a list': '[]',
    'a list of objects': '[{}]',
    'a text': '"text"',
    'a number': '42',
    null: 'null',
    'a list in a list, 30,000 times': DEEP,
    ...required.length > 0 && { 'an empty body': '', 'an empty object': '{}' }
  })
}

function wrongFields ({ body, example }: Route): Wrong[] {
  const { properties = {}, required = [] } = body!
  const withField = (name: string, raw: string) => JSON.stringify({ ...example.body, [name]: '?' }).replace(`"${name}":"?"`, `"${name}":${raw}`)
  return [
    ...required.flatMap(name => json('INVALID_REQUEST', { [`without ${name}`]: JSON.stringify({ ...example.body, [name]: undefined }) })),
    ...Object.entries(properties).flatMap(([name, schema]) => {
      const types = [schema.type, ...(schema.anyOf ?? []).map(({ type }) => type)].flat()
      const texts = types.includes('string') ? (text: string) => `"${text}"` : schema.items?.type === 'string' && ((text: string) => `["${text}"]`)
      const wrongTypes = { string: '"text"', number: types.includes('integer') ? '4.2' : '42', boolean: 'true', null: 'null', array: '[42]', object: '{"a": "text"}' }
      return [
        ...Object.entries(wrongTypes).filter(([type]) => !types.includes(type)).flatMap(([type, raw]) =>
          json('INVALID_REQUEST', { [`${name} of type ${type}`]: withField(name, raw) })),
        ...json('INVALID_REQUEST', { [`${name} 30,000 lists deep`]: withField(name, DEEP) }),
        ...texts
          ? [
              ...json('INVALID_TEXT', {
                [`${name} with a NUL character`]: withField(name, texts('a\\u0000b')),
                [`${name} with half a surrogate pair`]: withField(name, texts('a\\ud800b'))
              }),
              ...json(undefined, { [`${name} of 10,000 characters`]: withField(name, texts('x'.repeat(10_000))) })
            ]
          : []
      ]
    })
  ]
}

function json (code: string | undefined, payloads: Record<string, InjectOptions['payload']>): Wrong[] {
  return Object.entries(payloads).map(([how, payload]) => ({ how: `a body, ${how}`, headers: JSON_TYPE, payload, ...code && { code } }))
}

/** Lists what in a refusal does not follow the contract. */
function complaintsAbout (answer: LightMyRequestResponse, { code, how }: Wrong, { name, responses }: Route) {
  if (answer.headers['content-type'] === 'text/event-stream') return ['got a stream']
  if (answer.payload === '') return [`got ${answer.statusCode} without a body`]
  const { 'application/json': json, 'text/plain': text } = responses[answer.statusCode]?.content ?? {}
  const isText = answer.headers['content-type'] === 'text/plain; charset=utf-8' && text !== undefined && (json === undefined || name.endsWith('with the AI SDK'))
  if (isText) return [400, 401, 403, 404, 409, 413].includes(answer.statusCode) && SENTENCE.test(answer.payload) ? [] : [`${answer.statusCode} ${answer.payload}`]
  const said = answer.json()
  const documented = responses[answer.statusCode]?.description ?? ''
  const isValidation = said.code === 'INVALID_REQUEST' && !how.includes('UTF-8')
  const demands: Record<string, boolean> = {
    'should be refused': [400, 401, 403, 404, 409, 413, 415].includes(answer.statusCode),
    [`should be ${code}`]: code === undefined || said.code === code,
    'should have its own status in the body': said.statusCode === answer.statusCode,
    'should have a sentence as its error': SENTENCE.test(name.includes(' /v1/') ? said.error.message : said.error),
    'should have details': !isValidation || said.details?.[0]?.message?.length > 0,
    'should be JSON': answer.headers['content-type'] === 'application/json; charset=utf-8',
    'should be documented': documented.split('; ').some(error => error.startsWith(`${said.code}: `)),
    'should have the fields of the guided chat': !name.endsWith('/chat') || (typeof said.user_phone === 'string' && SENTENCE.test(said.bot_message))
  }
  return Object.keys(demands).filter(demand => !demands[demand]).map(demand => `${demand}: ${answer.statusCode} ${answer.payload.slice(0, 200)}`)
}

/** Several words, none of which shows the program's internals. */
const SENTENCE = /^(?!.*(undefined|\[object|FST_|Error:))\S+( \S+)+$/

t.test('unknown paths, wrong methods and malformed paths are refused', async t => {
  const server = await startApp(t)
  const before = await everythingIn(server)
  const nowhere: Array<[Method | 'OPTIONS' | 'TRACE' | 'PROPFIND', string, number]> = [
    ['GET', '/nowhere', 404], ['POST', '/api/nowhere', 404], ['DELETE', '/api', 404], ['GET', '/API/TEST', 404], ['GET', '//api/test', 404],
    ['GET', '/api/test/../../etc/passwd', 404], ['GET', '/docs/static/../../package.json', 404], ['GET', `/${'a'.repeat(5_000)}`, 404],
    ['GET', '/api/signup', 405], ['PATCH', '/api/login', 405], ['PUT', '/chat', 405], ['TRACE', '/api/test', 405], ['PROPFIND', '/api/conversations', 405],
    ['GET', '/%', 400], ['GET', '/api/conversations/%zz', 400], ['DELETE', '/api/conversations/%e0%a4%a', 400], ['GET', `/api/conversations/${'1'.repeat(501)}`, 400]
  ]
  for (const [method, url, status] of nowhere) {
    const answer = await server.app.inject({ method, url } as InjectOptions)
    const code = { 400: 'INVALID_REQUEST', 404: 'NOT_FOUND', 405: 'METHOD_NOT_ALLOWED' }[status]
    t.match([answer.statusCode, answer.json()], [status, { statusCode: status, code, error: SENTENCE }], `${method} ${url.slice(0, 40)}`)
  }
  t.equal((await server.app.inject({ method: 'OPTIONS', url: '/api/test' })).statusCode, 204, 'OPTIONS without the headers of a CORS preflight')
  t.same(await everythingIn(server), before)
})

// --- the documentation ---

t.test('the OpenAPI description lists every route with its responses, errors and parameters', async t => {
  const server = await startApp(t)
  const { openapi, info, paths, components } = await readDescription(server)
  t.equal(openapi, '3.1.0')
  t.match(info, { title: String, version: String })
  t.same(Object.keys(components.securitySchemes), ['cookie', 'bearer', 'key'])

  const routes = await documentedRoutes(server)
  const there = registeredRoutes(server)
  t.ok(there.length >= 20)
  t.same([...new Set(routes.map(({ method, path }) => `${method} ${path}`))].sort(), there, 'it has every route of the app and no other')

  for (const { name, path, summary, responses, parameters = [], security = [], example, method, body } of routes) {
    t.match(summary, SENTENCE, `${name} has a summary`)
    t.ok(responses[example?.status ?? 200], `${name} lists its success`)
    for (const [status, { description, content }] of Object.entries(responses)) {
      if (Number(status) < 400) continue
      t.match(description, /^[A-Z_]+: [^;]+(; [A-Z_]+: [^;]+)*$/, `${name} lists its errors of status ${status} by code`)
      const { 'application/json': json, 'text/plain': text } = content!
      if (text === undefined || json !== undefined) t.match(json?.schema.required, ['statusCode', 'code', 'error'])
      else t.equal(text.schema.type, 'string', `${name} has the sentence of an error as plain text`)
    }
    t.same(Object.keys(responses).filter(status => ['400', '429', '500', '503'].includes(status)).length, 4, `${name} lists 400, 429, 500 and 503`)
    t.same(parameters.filter(({ in: place }) => place === 'path').map(({ name }) => name).sort(), [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort())
    t.ok(parameters.every(({ in: place, required = false }) => required === (place === 'path')), `${name}: only path parameters are required`)
    t.ok(security.every(scheme => Object.keys(scheme as object).every(name => name in components.securitySchemes)))
    // One of the three kinds of requests at this path requires a login.
    if (!/^POST (\/api)?\/chat( |$)/.test(name)) t.equal(security.length > 0, /\bUNAUTHORIZED:/.test(responses[401]?.description ?? ''), `${name} lists UNAUTHORIZED exactly if it requires a login`)
    for (const required of body?.required ?? []) t.ok(body!.properties![required], `${name}: ${required} is described`)
    for (const status of ['403', '413', '415']) if (method !== 'GET') t.ok(responses[status], `${name} lists ${status}`)
  }
  for (const path of ['/metrics', '/chat/whatsapp']) t.same(Object.keys(paths[path].get.responses[200].content), ['text/plain'], `${path} is not documented as JSON`)
  t.same(Object.keys(paths['/api/conversations/{id}/messages/{message}/regenerate'].post.responses[200].content), ['application/json', 'text/event-stream'])
  t.same(paths['/chat'].post.security, [{}, { cookie: [] }, { bearer: [] }], 'the login is optional')
  t.same(Object.keys(paths['/'].get.responses[200].content), ['application/json', 'text/html'])
})

/** Fastify's own list of its routes, as `GET /path/{parameter}`, without those that serve documentation and files. */
function registeredRoutes ({ app }: Server) {
  const at: string[] = []
  const names = new Set<string>()
  for (const line of app.printRoutes({ commonPrefix: false }).split('\n')) {
    const [, indent, segment, methods] = /^([│ ]*)[├└]── (\S+) \((.+)\)$/.exec(line) ?? []
    if (segment === undefined) continue
    at.length = indent!.length / 4
    at.push(segment.startsWith('/') ? segment : `/${segment}`)
    const path = at.join('').replace(/\/+/g, '/').replace(/(.)\/$/, '$1').replace(/:(\w+)/g, '{$1}')
    if (/^\/(docs|openapi\.json|client\.|socket\.io|\*)/.test(path)) continue
    for (const method of methods!.split(', ')) if (method !== 'HEAD') names.add(`${method} ${path}`)
  }
  return [...names].sort()
}

t.test('/docs loads everything from this server, with and without https', async t => {
  const { anyone } = await startApp(t)
  const page = await anyone.get('/docs')
  t.match(page.headers['content-type'], 'text/html')
  const policy = new Map(String(page.headers['content-security-policy']).split(';').map(directive => directive.trim().split(' ')).map(([name, ...values]) => [name, values]))
  t.same(policy.get('default-src'), ["'self'"])
  t.same(policy.get('frame-ancestors'), ["'none'"])
  t.notOk(policy.has('upgrade-insecure-requests'), 'over http, the browser may load its parts over http')
  t.notMatch(page.payload, /<(script|style)(?![^>]*\bsrc=)[^>]*>/, 'the page has no inline scripts or styles, which its policy would block')

  const parts = [...page.payload.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url]) => url!)
  t.ok(parts.length >= 5)
  for (const url of parts) {
    t.match(url, /^\/docs\//)
    const part = await anyone.get(url)
    t.equal(part.statusCode, 200, url)
    t.match(part.headers, { 'content-type': /^(text\/css|application\/javascript|image\/png)/, 'x-content-type-options': 'nosniff' })
  }
  t.match((await anyone.get('/docs/json')).json(), { openapi: '3.1.0' }, 'the description that the page reads')
})

// --- who may call from where ---

t.test('pages of listed origins may read responses, also errors; other pages may not', async t => {
  const { anyone, as, app } = await startApp(t)
  const ann = await as('ann')
  const answers = (headers: Headers): Array<[number, Promise<LightMyRequestResponse>]> => [
    [200, anyone.get('/api/test', headers)],
    [200, ann.get('/api/conversations', headers)],
    [401, anyone.get('/api/conversations', headers)],
    [404, anyone.get('/nowhere', headers)],
    [404, ann.get('/api/conversations/404', headers)],
    [400, anyone.post('/api/signup', {}, headers)],
    [415, anyone.post('/chat', Buffer.from('hello'), headers)]
  ]
  for (const origin of [LISTED, 'http://localhost:5173']) {
    for (const [status, asked] of answers({ origin })) {
      const answer = await asked
      t.equal(answer.statusCode, status)
      t.match(answer.headers, {
        'access-control-allow-origin': origin, 'access-control-allow-credentials': 'true', 'access-control-expose-headers': 'Link, Retry-After', vary: 'Origin'
      }, `${status} for ${origin}`)
    }
  }
  for (const origin of [UNLISTED, 'null', 'http://localhost:3001', 'https://localhost:3000', 'http://localhost:3000.elsewhere.example', 'http://localhost:30000']) {
    for (const [status, asked] of answers({ origin })) {
      t.notOk((await asked).headers['access-control-allow-origin'], `${status} for ${origin}`)
    }
  }

  const preflight = (origin: string, method: string) => app.inject({
    method: 'OPTIONS',
    url: '/api/conversations/1',
    headers: { origin, 'access-control-request-method': method, 'access-control-request-headers': 'content-type,idempotency-key' }
  })
  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
    const { statusCode, headers } = await preflight(LISTED, method)
    t.equal(statusCode, 204)
    t.equal(headers['access-control-allow-origin'], LISTED)
    t.equal(headers['access-control-allow-credentials'], 'true')
    t.ok(String(headers['access-control-allow-methods']).split(', ').includes(method), method)
    const allowed = String(headers['access-control-allow-headers']).toLowerCase().split(', ')
    t.same(allowed, ['content-type', 'authorization', 'idempotency-key', 'last-event-id', 'x-api-key', 'x-act-as', 'x-requested-with', 'traceparent', 'tracestate'])
  }
  t.notOk((await preflight(UNLISTED, 'PUT')).headers['access-control-allow-origin'])
})

t.test('CORS_ORIGINS lists the origins', async t => {
  const { anyone } = await startApp(t, { CORS_ORIGINS: 'https://one.example, https://two.example,https://Three.Example:443,http://bücher.example:80' })
  const allowed = async (origin: string) => (await anyone.get('/api/test', { origin })).headers['access-control-allow-origin']
  t.equal(await allowed('https://one.example'), 'https://one.example')
  t.equal(await allowed('https://two.example'), 'https://two.example')
  t.equal(await allowed('https://three.example'), 'https://three.example', 'capital letters and the default port make no difference')
  t.equal(await allowed('http://xn--bcher-kva.example'), 'http://xn--bcher-kva.example')
  const login = await anyone.post('/api/login', { username: 'nobody', password: 'correct horse' }, { origin: 'https://three.example' })
  t.equal(login.statusCode, 401, 'nor do they where cookies are set')
  t.equal(await allowed(LISTED), undefined)
})

/** Where a request comes from according to its headers, and whether a write with a cookie is accepted from there. */
const sites: Array<[from: string, headers: Headers, isOurs: boolean]> = [
  ['a page that is not listed', { origin: UNLISTED }, false],
  ['a page that is not listed, with another kind of credentials', { origin: UNLISTED, authorization: 'Basic YTpi' }, false],
  ['a page that hides its origin', { origin: 'null' }, false],
  ['a listed host on another port', { origin: 'http://localhost:3001' }, false],
  ['a link or an image elsewhere', { 'sec-fetch-site': 'cross-site' }, false],
  ['a listed page', { origin: LISTED, 'sec-fetch-site': 'same-site' }, true],
  ['another listed page', { origin: 'http://localhost:5173', 'sec-fetch-site': 'cross-site' }, true],
  ['our own page', { origin: 'http://localhost:5000', 'sec-fetch-site': 'same-origin' }, true],
  ['our own page by IP address', { origin: 'http://127.0.0.1:5000' }, true],
  ['a program', {}, true],
  ['the address bar', { 'sec-fetch-site': 'none' }, true]
]

t.test('requests that write with a cookie, or set one, are accepted only from our own pages', async t => {
  const server = await startApp(t)
  const routes = await documentedRoutes(server)
  const writes = routes.filter(({ method, security, path, example }) =>
    example !== undefined && !path.startsWith('/api/users/') && ((method !== 'GET' && security !== undefined) || /^\/api\/log(in|out)$/.test(path)))
  t.ok(writes.length >= 9)

  for (const route of writes) {
    const right = rightRequest(route)
    const { ann, url } = await begin(server, route)
    const before = await everythingIn(server)
    for (const [from, headers] of sites.filter(([, , isOurs]) => !isOurs)) {
      const answer = await send(server, route, url(), { ...ann.headers, ...right.headers, ...headers }, right.payload)
      t.match([answer.statusCode, answer.json()], [403, { statusCode: 403, code: 'CROSS_SITE', error: route.path.startsWith('/v1/') ? { message: SENTENCE } : SENTENCE }], `${route.name} from ${from}`)
      t.same(answer.cookies, [])
    }
    t.same(await everythingIn(server), before, 'nothing changed')
    t.equal((await ann.get('/api/me')).statusCode, 200, 'the session was not ended')

    for (const [from, headers] of sites.filter(([, , isOurs]) => isOurs)) {
      const { ann, url } = await begin(server, route)
      const answer = await send(server, route, url(), { ...ann.headers, ...right.headers, ...headers }, right.payload)
      t.equal(answer.statusCode, route.example.status, `${route.name} from ${from}`)
    }
  }
})

t.test('reads, requests with a bearer token, and requests without a login are accepted from anywhere', async t => {
  const server = await startApp(t)
  const { as, anyone } = server
  const ann = await as('ann')
  const bearer = { authorization: `Bearer ${ann.headers['cookie']!.replace('session=', '')}` }
  let signups = 0
  for (const [from, headers] of sites.filter(([, headers]) => headers['authorization'] === undefined)) {
    t.equal((await ann.get('/api/conversations', headers)).statusCode, 200, `reading from ${from}`)
    const written = await anyone.post('/api/conversations', { name: 'By token' }, { ...headers, ...bearer })
    t.equal(written.statusCode, 201, `with a token, from ${from}`)
    t.equal((await ann.post('/api/conversations', { name: 'By token' }, { ...headers, ...bearer })).statusCode, 201, `with a token and a cookie, from ${from}`)
    t.equal((await anyone.delete(`/api/conversations/${written.json().id}`, { ...headers, ...bearer })).statusCode, 204)
    for (const path of ['/chat', '/api/chat']) {
      t.equal((await anyone.post(path, { user_phone: '12345', user_message: 'hello' }, headers)).statusCode, 200, `${path} from ${from}`)
    }
    const signup = await anyone.post('/api/signup', { username: `somebody-${++signups}`, password: 'correct horse' }, headers)
    t.equal(signup.statusCode, 201, `signing up from ${from}`)
  }
})

t.test('our own page has the origin of PUBLIC_URL, or localhost with the server’s port', async t => {
  const login = { username: 'ann', password: 'correct horse' }
  const table: Array<[Parameters<typeof settings>[0], ours: string[], others: string[]]> = [
    [{ PUBLIC_URL: 'https://chat.example.com' }, ['https://chat.example.com', LISTED],
      ['http://chat.example.com', 'https://chat.example.com:5000', 'http://localhost:5000', 'http://127.0.0.1:5000']],
    [{ PUBLIC_URL: 'http://chat.example.com:8080/' }, ['http://chat.example.com:8080'], ['http://chat.example.com', 'https://chat.example.com:8080']],
    [{ PORT: 8000 }, ['http://localhost:8000', 'http://127.0.0.1:8000'], ['http://localhost:5000', 'https://localhost:8000']],
    [{ PORT: 80 }, ['http://localhost', 'http://127.0.0.1'], ['http://localhost:5000', 'https://localhost']]
  ]
  for (const [changes, ours, others] of table) {
    const { anyone, as } = await startApp(t, changes)
    await as('ann')
    const from = async (origin: string) => (await anyone.post('/api/login', login, { origin })).statusCode
    for (const origin of ours) t.equal(await from(origin), 200, origin)
    for (const origin of others) t.equal(await from(origin), 403, origin)
  }
})

t.test('the cookie’s name and attributes follow PUBLIC_URL and COOKIE_SAMESITE', async t => {
  const table: Array<[Parameters<typeof settings>[0], name: string, secure: true | undefined, sameSite: 'Lax' | 'None']> = [
    [{}, 'session', undefined, 'Lax'],
    [{ PUBLIC_URL: 'http://chat.example.com' }, 'session', undefined, 'Lax'],
    [{ PUBLIC_URL: 'https://chat.example.com' }, '__Host-session', true, 'Lax'],
    [{ PUBLIC_URL: 'https://chat.example.com', COOKIE_SAMESITE: 'none' }, '__Host-session', true, 'None'],
    [{ PUBLIC_URL: 'http://chat.example.com', COOKIE_SAMESITE: 'none' }, 'session', true, 'None'],
    [{ COOKIE_SAMESITE: 'none' }, 'session', true, 'None']
  ]
  for (const [changes, name, secure, sameSite] of table) {
    const { anyone, as } = await startApp(t, changes)
    const ann = await as('ann')
    const attributes = { name, secure, httpOnly: true, sameSite, path: '/', domain: undefined }
    const [set, ...more] = (await anyone.post('/api/login', { username: 'ann', password: 'correct horse' })).cookies
    t.match(set, { ...attributes, maxAge: 7 * 24 * 60 * 60, value: /^[\w-]+\.[\w-]+\.[\w-]+$/ }, JSON.stringify(changes))
    t.same(more, [])
    t.equal((await ann.get('/api/me')).statusCode, 200)
    const [cleared] = (await ann.post('/api/logout')).cookies
    t.match(cleared, { ...attributes, maxAge: 0, value: '' })
    t.equal((await ann.get('/api/me')).statusCode, 401)
  }
})

// --- health checks, failures, and the headers of every response ---

/** Headers that keep browsers from guessing content types, showing the page in frames, and sending referrers. */
const SECURITY_HEADERS = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'content-security-policy': /default-src '(none|self)';.*frame-ancestors 'none'/,
  'referrer-policy': 'no-referrer'
}

t.test('the server says that it is running and ready', async t => {
  const { anyone } = await startApp(t)
  for (const path of ['/', '/api/test']) t.same((await anyone.get(path)).json(), { message: 'Server is running' })
  for (const path of ['/health/live', '/health/ready']) {
    const answer = await anyone.get(path)
    t.match([answer.statusCode, answer.json()], [200, { status: 'ok' }])
  }
})

t.test('without its database the server is live but not ready, and asks clients to try again', async t => {
  const { anyone, app } = await startApp(t, {}, undefined, { host: '127.0.0.1', port: 1, user: 'nobody', database: 'nothing' })
  t.equal((await anyone.get('/health/live')).statusCode, 200)
  const token = app.jwt.sign({ sid: 1, kind: 'cookie' }, { expiresIn: 60 })
  const asked = [
    anyone.get('/health/ready', { origin: LISTED }),
    anyone.post('/api/login', { username: 'ann', password: 'correct horse' }, { origin: LISTED }),
    anyone.get('/api/conversations', { origin: LISTED, authorization: `Bearer ${token}` }),
    anyone.post('/chat', { user_phone: '12345', user_message: 'hello' }, { origin: LISTED })
  ]
  for (const answer of await Promise.all(asked)) {
    const { statusCode, headers } = answer
    t.equal(statusCode, 503)
    t.match(answer.json(), { statusCode: 503, code: 'UNAVAILABLE', error: SENTENCE })
    t.match(headers, { ...SECURITY_HEADERS, 'retry-after': /^[1-9]\d*$/, 'access-control-allow-origin': LISTED })
    t.notMatch(answer.payload, /ECONN|127\.0\.0\.1|select/i)
  }
  t.match((await asked[3]!).json(), { user_phone: '12345', bot_message: SENTENCE }, 'with the fields of the guided chat too')
})

t.test('internal errors are logged, and their details are not sent to clients', async t => {
  const lines: string[] = []
  const server = await startApp(t, {}, pino({}, { write: (line: string) => { lines.push(line) } }))
  const { anyone, as, query } = server
  const ann = await as('ann')
  await query('ALTER TABLE conversations RENAME COLUMN name TO hidden')
  await query('ALTER TABLE identities RENAME TO hidden')
  const asked: Array<[Promise<LightMyRequestResponse>, object]> = [
    [ann.get('/api/conversations'), {}],
    [ann.post('/api/conversations', { name: 'Plans' }), {}],
    [anyone.post('/chat', { user_phone: '12345', user_message: 'hello' }), { user_phone: '12345', bot_message: 'Something went wrong on our side' }]
  ]
  for (const [answer, more] of asked) {
    const { statusCode, payload } = await answer
    t.equal(statusCode, 500)
    t.same(JSON.parse(payload), { statusCode: 500, code: 'INTERNAL', error: 'Something went wrong on our side', ...more })
  }
  t.equal(lines.filter(line => JSON.parse(line).level === 50).length, 3)
  t.match(lines.join(''), /does not exist/)
})

t.test('every response has the security headers', async t => {
  const server = await startApp(t)
  const { anyone, as, app, query } = server
  const ann = await as('ann')
  const { id } = (await ann.post('/api/conversations', { name: 'Plans' })).json()
  const preflight = { origin: LISTED, 'access-control-request-method': 'PUT' }
  const asked: Array<[number, () => Promise<LightMyRequestResponse>]> = [
    [200, () => anyone.get('/')],
    [200, () => anyone.get('/health/ready')],
    [200, () => anyone.get('/openapi.json')],
    [200, () => anyone.get('/docs')],
    [200, () => anyone.get('/docs/static/swagger-ui-bundle.js')],
    [200, () => ann.get('/api/conversations')],
    [201, () => ann.post(`/api/conversations/${id}/messages`, { text: 'Hi' })],
    [204, () => ann.delete(`/api/conversations/${id}`)],
    [204, () => app.inject({ method: 'OPTIONS', url: '/api/me', headers: preflight })],
    [400, () => anyone.post('/api/signup', {})],
    [401, () => anyone.get('/api/me')],
    [403, () => ann.post('/api/conversations', { name: 'Mine' }, { origin: UNLISTED })],
    [404, () => anyone.get('/nowhere')],
    [404, () => ann.get('/api/conversations/404')],
    [413, () => anyone.post('/chat', { user_phone: 'x'.repeat(1.5 * KIB * KIB) })],
    [415, () => anyone.post('/chat', Buffer.from('hello'))],
    [500, async () => { await query('DROP TABLE messages CASCADE'); await ann.post('/api/conversations', { name: 'Plans' }); return await ann.get('/api/conversations') }]
  ]
  for (const [status, ask] of asked) {
    const { statusCode, headers, request } = await answerOf(ask)
    t.equal(statusCode, status, request)
    t.match(headers, SECURITY_HEADERS, `${status} ${request}`)
    t.notOk(headers['x-powered-by'] ?? headers['server'])
  }
})

async function answerOf (ask: () => Promise<LightMyRequestResponse>) {
  const answer = await ask()
  return Object.assign(answer, { request: `${answer.raw.req.method} ${answer.raw.req.url}` })
}

t.test('malformed HTTP is refused with the usual JSON error', async t => {
  const { app } = await startApp(t)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  for (const sent of ['nonsense\r\n\r\n', `GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`]) {
    const answer = await exchange(port, sent)
    t.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n/)
    t.same(JSON.parse(answer.split('\r\n\r\n')[1]!), { statusCode: 400, code: 'INVALID_REQUEST', error: 'Invalid request' })
  }
})

t.test('requests before malformed HTTP on the same connection get their own answers', async t => {
  const server = await startLive(t)
  server.bots.takeOver()
  const ann = await server.as('ann')
  const say = async (text: string) => {
    const body = JSON.stringify({ text })
    return `POST /api/conversations/${await server.slowChat(ann)}/messages HTTP/1.1\r\nHost: x\r\nCookie: ${ann.headers['cookie']}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  }
  const statuses = (answers: string) => [...answers.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status))
  const get = 'GET /api/test HTTP/1.1\r\nHost: x\r\n\r\n'
  const badBody = 'POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n'

  const atOnce = exchange(server.port, `${await say('Hello')}\0`)
  ;(await server.bots.call(1)).end()
  const answer = await atOnce
  t.same(statuses(answer), [201, 400])
  t.match(answer, /"text":"Hello"/)

  for (const [nth, rest] of ['nonsense\r\n\r\n', `${badBody}nonsense`].entries()) {
    const later = exchange(server.port, await say(`Later ${nth}`) + get, async socket => {
      const { end } = await server.bots.call(2 + nth)
      const failed = once(server.app.server, 'clientError')
      socket.write(rest)
      await failed
      socket.write('more')
      end()
    })
    t.same(statuses(await later), [201, 200, 400], rest)
  }

  t.same(statuses(await exchange(server.port, `${badBody}nonsense\r\n`)), [400], 'a body that is malformed has no answer of its own')

  const leaving = connect(server.port, '127.0.0.1')
  leaving.write(`${await say('Bye')}`)
  const { end, signal } = await server.bots.call(4)
  const failed = once(server.app.server, 'clientError') as Promise<[Error, Socket]>
  leaving.write('nonsense\r\n\r\n')
  const [, socket] = await failed
  const closed = new Promise(resolve => socket.once('close', resolve))
  leaving.resetAndDestroy()
  await closed
  t.notOk(signal.aborted, 'the reply goes on')
  end()
})

t.test('a request without a Host, or with several, is refused like any other bad request', async t => {
  const { app } = await startApp(t)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const get = (version: string, ...hosts: string[]) => exchange(port, [`GET /api/test HTTP/${version}`, ...hosts.map(host => `hOSt: ${host}`), 'Connection: close', '', ''].join('\r\n'))
  for (const hosts of [[], ['localhost', 'example.com'], ['localhost', 'localhost']]) {
    const [head, body] = (await get('1.1', ...hosts)).split('\r\n\r\n')
    t.match(head, /^HTTP\/1\.1 400 [^]*x-content-type-options: nosniff/i, `${hosts.length} hosts`)
    t.same(JSON.parse(body!), { statusCode: 400, code: 'INVALID_REQUEST', error: 'The request needs one Host header' })
  }
  t.match(await get('1.1', 'localhost'), /^HTTP\/1\.1 200 /)
  t.match(await get('1.0'), /^HTTP\/1\.1 200 /, 'HTTP/1.0 knows no Host')
})

t.test('a client that offers to upgrade to HTTP/2 gets its responses over HTTP/1.1', async t => {
  const { app } = await startApp(t)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const asking = 'Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n'
  const message = JSON.stringify({ user_phone: '123', user_message: 'hello' })
  const post = `POST /chat HTTP/1.1\r\n${asking}Content-Type: application/json\r\nContent-Length: ${message.length}\r\n\r\n${message.slice(0, 5)}`
  const answers = await exchange(port, post, async socket => {
    await sleep(20)
    socket.write(message.slice(5))
    await once(socket, 'data')
    socket.write(`GET /api/test HTTP/1.1\r\n${asking}\r\nGET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
  })
  t.match(answers, /^HTTP\/1\.1 200 OK[^]*What is your name\?[^]*HTTP\/1\.1 200 OK[^]*Server is running[^]*HTTP\/1\.1 404 Not Found/)
})

t.test('an unknown Expect header is ignored', async t => {
  const { app } = await startApp(t)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const asking = 'Host: x\r\nConnection: close\r\nExpect: something-else\r\n'
  const known = await exchange(port, `GET /api/test HTTP/1.1\r\n${asking}\r\n`)
  t.match(known, /^HTTP\/1\.1 200 [^]*\{"message":"Server is running"\}$/)
  const unknown = await exchange(port, `GET /nowhere HTTP/1.1\r\n${asking}\r\n`)
  t.match(unknown, /^HTTP\/1\.1 404 [^]*x-content-type-options: nosniff[^]*"code":"NOT_FOUND"/i)
})

t.test('an upload that breaks off is logged as the client’s error', async t => {
  const logged: Array<{ level: number, code?: string }> = []
  const { app } = await startApp(t, {}, pino({ level: 'info' }, { write: line => { logged.push(JSON.parse(line)) } }))
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const socket = connect(port, '127.0.0.1', () => {
    socket.write('POST /chat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"')
  })
  await once(app.server, 'request')
  socket.destroy()
  while (!logged.some(({ code }) => code === 'INVALID_REQUEST')) await sleep(10)
  t.ok(logged.every(({ level }) => level === 30), 'no warning or error of the server is logged')
})

t.test('a server that is shutting down answers new requests with 503 and the usual error', async t => {
  const { app } = await startApp(t)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const answer = exchange(port, 'GET /health/ready HTTP/1.1\r\nHost: x\r\n', async socket => {
    await exchange(port, 'GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n') // by now the server has the first half of the other request
    app.close()
    while (app.server.listening) await sleep(1)
    socket.write('\r\n')
  })
  const [head, body] = (await answer).split('\r\n\r\n')
  t.match(head, /^HTTP\/1\.1 503 Service Unavailable\r\n[^]*retry-after: 5/i)
  t.match(JSON.parse(body!), { statusCode: 503, code: 'UNAVAILABLE' })
})
