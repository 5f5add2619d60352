import type { InjectOptions } from 'fastify'
import { eq } from 'drizzle-orm'
import { makeKey } from '../../src/accounts/keys/key.ts'
import type { KeyScope } from '../../src/enums.ts'
import { createTokens } from '../../src/accounts/recovery.ts'
import { oneTimeTokens, serverKeys, users, whatsappDeliveries } from '../../src/db/tables.ts'
import { API_KEY, SECRET, type startApp, type Client, type Headers } from './helper.ts'
import { from, signed, VERIFY_TOKEN } from './meta.ts'

// Every documented route, with an example of a valid request. The tests that cover all routes iterate over these.

export type Server = Awaited<ReturnType<typeof startApp>>
export type Schema = { then?: Schema, anyOf?: Schema[], else?: Schema, type?: string | string[], properties?: Record<string, Schema>, required?: string[], items?: Schema, minimum?: number, maximum?: number }
type Content = { content?: { 'application/json'?: { schema: Schema }, 'text/plain'?: { schema: Schema }, 'text/event-stream'?: unknown } }
export interface Parameter { in: 'path' | 'query' | 'header', name: string, required?: boolean, schema: Schema }
interface Operation {
  summary?: string
  /** Absent if the route needs no login. */
  security?: unknown[]
  parameters?: Parameter[]
  requestBody?: Content
  responses: Responses
}
type Responses = Record<string, Content & { description: string }>
/** An operation of the API document, with an example from below. */
export interface Route extends Operation { name: string, method: Method, path: string, body: Schema | undefined, example: Example }
export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
interface Example { status: number, body?: Record<string, unknown>, headers?: Headers, query?: string }

/** A placeholder for the token in a mail that Ann has just received. */
const MAILED = 'a token'

const VERIFICATION = `hub.mode=subscribe&hub.verify_token=${encodeURIComponent(VERIFY_TOKEN)}&hub.challenge=1158201444`
const WEBHOOK = from('16505551234', 'Hi')

const USE_CHAT = { id: 'a-chat', messages: [{ id: 'a-message', role: 'user', parts: [{ type: 'text', text: 'Hi' }] }], trigger: 'submit-message' }

const RUN = { threadId: 'a-thread', runId: 'a-run', messages: [{ id: 'a-message', role: 'user', content: 'Hi' }] }

/** For each route that takes a body, query or headers: a valid example, and the status of its response. */
const examples: Record<string, Example> = {
  'POST /chat': { status: 200, body: { user_phone: '+49 170 1234567', user_message: 'hello' } },
  'POST /api/chat': { status: 200, body: { user_phone: '+49 170 1234567', user_message: 'hello' } },
  'POST /chat as a guest': { status: 200, body: { content: 'Hi' } },
  'POST /api/chat as a guest': { status: 200, body: { content: 'Hi' } },
  'POST /chat with the AI SDK': { status: 200, body: USE_CHAT },
  'POST /api/chat with the AI SDK': { status: 200, body: USE_CHAT },
  'GET /chat/{id}': { status: 200 },
  'GET /api/chat/{id}': { status: 200 },
  'GET /chat/{id}/stream': { status: 204 },
  'GET /api/chat/{id}/stream': { status: 204 },
  'POST /chat/{id}/stop': { status: 204 },
  'POST /api/chat/{id}/stop': { status: 204 },
  'POST /api/ag-ui': { status: 200, body: RUN },
  'POST /api/ag-ui/{bot}': { status: 200, body: RUN },
  'POST /api/ag-ui/threads/{id}/stop': { status: 204 },
  'GET /v1/models': { status: 200 },
  'GET /v1/models/{id}': { status: 200 },
  'POST /v1/chat/completions': { status: 200, body: { model: 'slow', messages: [{ role: 'user', content: 'Hi' }], stream: true } },
  'GET /chat/initial': { status: 200, headers: { 'x-api-key': API_KEY } },
  'GET /api/chat/initial': { status: 200, headers: { 'x-api-key': API_KEY } },
  'GET /chat/whatsapp': { status: 200, query: VERIFICATION },
  'GET /api/chat/whatsapp': { status: 200, query: VERIFICATION },
  'POST /chat/whatsapp': { status: 200, body: WEBHOOK, headers: signed(JSON.stringify(WEBHOOK)) },
  'POST /api/chat/whatsapp': { status: 200, body: WEBHOOK, headers: signed(JSON.stringify(WEBHOOK)) },
  'GET /metrics': { status: 200 },
  'GET /api/admin/deliveries': { status: 200 },
  'GET /api/admin/usage': { status: 200 },
  'POST /api/admin/deliveries/{id}/retry': { status: 200 },
  'POST /api/admin/whatsapp/templates/{name}': { status: 201, body: { to: '16505551234', language: 'en_US', variables: ['Ann'] } },
  'POST /register': { status: 201, body: { id: 'somebody', passcode: 'correct horse' } },
  'POST /login': { status: 200, body: { id: 'ann', passcode: 'correct horse' } },
  'POST /api/signup': { status: 201, body: { username: 'somebody', password: 'correct horse', name: 'Somebody', email: 'somebody@example.com' } },
  'POST /api/login': { status: 200, body: { username: 'ann', password: 'correct horse' } },
  'POST /api/password/forgot': { status: 200, body: { email: 'ann@example.com' } },
  'POST /api/password/reset': { status: 200, body: { token: MAILED, password: 'correct horse' } },
  'POST /api/email/verify': { status: 200, body: { token: MAILED } },
  'POST /api/email/resend': { status: 200 },
  'GET /api/logout': { status: 200 },
  'POST /api/logout': { status: 200 },
  'GET /api/oidc/start': { status: 302, query: 'return_to=%23%2Fc%2F1' },
  'GET /api/oidc/callback': { status: 302, query: 'state=abc&code=abc' },
  'GET /api/me': { status: 200 },
  'PATCH /api/me': { status: 200, body: { name: 'Ann A.', phone_number: '+49 30 12345', email: 'ann@example.com', current_password: 'correct horse' } },
  'DELETE /api/me': { status: 204, body: { password: 'correct horse' } },
  'GET /api/me/export': { status: 200 },
  'GET /api/me/usage': { status: 200 },
  'GET /api/me/keys': { status: 200 },
  'POST /api/me/keys': { status: 201, body: { name: 'a script', expires_at: '2099-01-01T00:00:00.000Z' } },
  'DELETE /api/me/keys/{id}': { status: 204 },
  'GET /api/me/sessions': { status: 200 },
  'DELETE /api/me/sessions/{id}': { status: 204 },
  'GET /api/conversations': { status: 200 },
  'POST /api/conversations': { status: 201, body: { name: 'Plans', bots: ['simulated'], metadata: { topic: 'tea' } } },
  'GET /api/conversations/{id}': { status: 200 },
  'PUT /api/conversations/{id}': { status: 200, body: { name: 'Better plans', metadata: { topic: 'tea' } } },
  'PATCH /api/conversations/{id}': { status: 200, body: { name: 'Better plans', when_busy: 'interrupt', metadata: { topic: 'tea' } } },
  'DELETE /api/conversations/{id}': { status: 204 },
  'GET /api/conversations/{id}/events': { status: 200 },
  'GET /api/events': { status: 200 },
  'PUT /api/conversations/{id}/read': { status: 204, body: { rev: 1 } },
  'GET /api/conversations/{id}/users': { status: 200 },
  'POST /api/conversations/{id}/users': { status: 201, body: { username: 'carol' } },
  'DELETE /api/conversations/{id}/users/{user}': { status: 204 },
  'GET /api/conversations/{id}/bots': { status: 200 },
  'POST /api/conversations/{id}/bots': { status: 201, body: { name: 'favorite-song' } },
  'DELETE /api/conversations/{id}/bots/{bot}': { status: 204 },
  'GET /api/bots': { status: 200 },
  'GET /api/admin/bots': { status: 200 },
  'POST /api/admin/bots': { status: 201, body: { name: 'parrot', engine: 'simulated', settings: { greeting: 'Hi' } } },
  'PATCH /api/admin/bots/{id}': { status: 200, body: { name: 'cockatoo', settings: { greeting: 'Hi' } } },
  'DELETE /api/admin/bots/{id}': { status: 204 },
  'GET /api/admin/users': { status: 200 },
  'POST /api/admin/users': { status: 201, body: { username: 'somebody', password: 'correct horse', name: 'Somebody', email: 'somebody@example.com' } },
  'GET /api/admin/users/{id}': { status: 200 },
  'PATCH /api/admin/users/{id}': { status: 200, body: { is_locked: false, budget: 1000 } },
  'DELETE /api/admin/users/{id}': { status: 204 },
  'DELETE /api/admin/users/{id}/sessions': { status: 204 },
  'GET /api/admin/invitations': { status: 200 },
  'POST /api/admin/invitations': { status: 201, body: { expires_in: 3600 } },
  'DELETE /api/admin/invitations/{id}': { status: 204 },
  'GET /api/admin/log': { status: 200 },
  'GET /api/admin/keys': { status: 200 },
  'POST /api/admin/keys': { status: 201, body: { name: 'shop', scopes: ['users', 'act'], expires_at: '2099-01-01T00:00:00.000Z' } },
  'DELETE /api/admin/keys/{id}': { status: 204 },
  'GET /api/users/{external_id}': { status: 200 },
  'PUT /api/users/{external_id}': { status: 200, body: { name: 'Zoe', email: 'zoe@example.com', picture: 'https://example.com/zoe.png', metadata: { plan: 'gold' } } },
  'DELETE /api/users/{external_id}': { status: 204 },
  'POST /api/users/{external_id}/tokens': { status: 201, body: { expires_in: 600 } },
  'POST /api/conversations/{id}/stop': { status: 204 },
  'POST /api/conversations/{id}/messages/{message}/regenerate': { status: 200 },
  'GET /api/conversations/{id}/messages': { status: 200 },
  'POST /api/conversations/{id}/messages': { status: 201, body: { text: 'Hi', parts: [{ type: 'choice', id: 'yes', title: 'Yes' }], client_id: 'mine', metadata: { topic: 'tea' } } },
  'GET /api/conversations/{id}/messages/{message}': { status: 200 },
  'PUT /api/conversations/{id}/messages/{message}': { status: 200, body: { text: 'Hi there' } },
  'DELETE /api/conversations/{id}/messages/{message}': { status: 204 }
}

interface Begun { conversation: number, session: number, user: number, bot: number, delivery: number, invitation: number, key: number }

/**
 * The values of the parameters in a path: a new conversation of Ann's, its first message, another user and a bot in it, one of
 * Ann's sessions, a failed WhatsApp reply, an invitation.
 */
export function placesOf (path: string, begun: Begun = { conversation: 1, session: 1, user: 1, bot: 1, delivery: 1, invitation: 1, key: 1 }): Record<string, number | string> {
  const { conversation, session, user, bot, delivery, invitation, key } = begun
  if (path.startsWith('/api/users/')) return { external_id: 7 }
  if (path.startsWith('/v1/')) return { id: 'slow' }
  if (path.includes('/keys/')) return { id: key }
  if (path.includes('/admin/users/')) return { id: user }
  if (path.includes('/admin/invitations/')) return { id: invitation }
  if (path.includes('/sessions/')) return { id: session }
  if (path.includes('/admin/bots/')) return { id: bot }
  if (path.includes('/admin/deliveries/')) return { id: delivery }
  if (path.includes('/templates/')) return { name: 1 }
  if (path.includes('/ag-ui/')) return { id: conversation, bot: 'simulated' }
  return { id: conversation, message: path.includes('/regenerate') ? 2 : 1, user, bot }
}

/** The OpenAPI document, with every `$ref` replaced by its component, and every operation with what the document says once for all of them. */
export async function readDescription ({ anyone }: Pick<Server, 'anyone'>) {
  const description = (await anyone.get('/openapi.json')).json()
  const paths = resolved(description.paths) as Record<string, Record<string, Operation>>
  const whole = (operations: Record<string, Operation>) => Object.fromEntries(Object.entries(operations).map(([method, operation]) => [method, complete(method, operation)]))
  return { ...description, paths: Object.fromEntries(Object.entries(paths).map(([path, operations]) => [path, whole(operations)])) }

  function complete (method: string, { security = description.security as object[], responses: { default: general, '4XX': range, ...own }, ...operation }: Operation): Operation {
    const { cookie, bearer } = description.components.securitySchemes
    const has = (login: string) => security.some(scheme => Object.hasOwn(scheme as object, login))
    const { content } = own[400] ?? general!
    const responses = [
      general!,
      ...range === undefined ? [] : [range],
      ...has('cookie') && method !== 'get' ? [{ content, description: cookie.description as string }] : [],
      ...has('bearer') ? [{ content, description: bearer.description as string }] : []
    ].reduce(withListed, own)
    const unchanged = method === 'get' && responses[200] !== undefined && { 304: { description: 'Not modified' } }
    return { ...operation, security, responses: { ...responses, ...unchanged } } as Operation
  }

  function resolved (part: unknown): unknown {
    if (Array.isArray(part)) return part.map(resolved)
    if (typeof part !== 'object' || part === null) return part
    const { $ref } = part as { $ref?: string }
    if ($ref === undefined) return Object.fromEntries(Object.entries(part).map(([name, value]) => [name, resolved(value)]))
    const [kind, name] = $ref.split('/').slice(2)
    return resolved(description.components[kind!][name!])
  }
}

/** Adds the errors that a description lists with their statuses, as `INTERNAL (500): Something went wrong on our side`. */
function withListed (responses: Responses, { content, description }: Responses[string]): Responses {
  const all = { ...responses }
  for (const [, code, status, sentence] of description.matchAll(/([A-Z_]+) \((\d{3})\): ([^;]+)/g)) {
    const known = all[status!]
    const errors = known?.description.split('; ') ?? []
    if (!errors.some(error => error.startsWith(`${code}: `))) all[status!] = { content, ...known, description: [...errors, `${code}: ${sentence}`].join('; ') } as Responses[string]
  }
  return all
}

/** The kinds of bodies that an operation takes, by what its example is called. */
function kindsOf (schema: Schema | undefined, kinds = [' with the AI SDK', ' as a guest']): Array<[string, Schema | undefined]> {
  if (schema?.then === undefined) return [['', schema]]
  return [...kindsOf(schema.else, kinds.slice(1)), [kinds[0]!, schema.then]]
}

/** Every operation of the OpenAPI document, with its example. An operation with several kinds of bodies is listed once for each. */
export async function documentedRoutes (server: Pick<Server, 'anyone'>): Promise<Route[]> {
  const { paths } = await readDescription(server) as { paths: Record<string, Record<string, Operation>> }
  return Object.entries(paths).flatMap(([path, operations]) => Object.entries(operations).flatMap(([key, { security = [], ...operation }]) => {
    const method = key.toUpperCase() as Method
    const schema = operation.requestBody?.content!['application/json']!.schema
    return kindsOf(schema).map(([kind, body]) => {
      const name = `${method} ${path}${kind}`
      const isOptional = security.some(scheme => Object.keys(scheme as object).length === 0)
      const isForUsers = security.length > 0 && (!isOptional || kind === ' with the AI SDK')
      return { ...operation, ...isForUsers && { security }, name, method, path, body, example: examples[name]! }
    })
  }))
}

/** Removes what the route's example creates, and mails Ann a new token, so that the same request succeeds once more. */
export async function allowAgain ({ db }: Pick<Server, 'db'>, { path, example }: Pick<Route, 'path' | 'example'>) {
  await db.$client.query("DELETE FROM users WHERE username = 'somebody'; DELETE FROM messages WHERE client_id = 'mine'; DELETE FROM chatbots WHERE name IN ('parrot', 'cockatoo'); DELETE FROM one_time_tokens")
  await mailAToken(db, path, example)
}

/** Prepares a request to a route: Ann with a new login (as an admin or a guest if the route needs that), and a conversation of hers with messages. */
export async function begin ({ as, anyone, clientOf, slowChat, db }: Server, { name, path, example }: Route) {
  const isServers = path.startsWith('/api/users/')
  const ann = name.endsWith('as a guest') ? await enterAsGuest() : await as('ann')
  await allowAgain({ db }, { path, example })
  const conversation = path.includes('/regenerate') || path.startsWith('/v1/') ? await slowChat(ann) : (await ann.post('/api/conversations', { name: 'Secret plans of Ann' })).json().id
  await ann.post(`/api/conversations/${conversation}/messages`, { text: 'First secret of Ann' })
  const session = (await (await as('ann')).get('/api/me/sessions')).json()[0].id
  const key = await existingKey()
  const user = path.includes('/users') && !isServers ? await invite('carol') : 1
  const bot = path.includes('/admin/') ? await makeBot() : 1
  const delivery = path.includes('/deliveries/') ? await failToDeliver() : 1
  const invitation = path.includes('/invitations/') ? (await ann.post('/api/admin/invitations', {})).json().id : 1
  const places = placesOf(path, { conversation, session, user, bot, delivery, invitation, key })
  const url = (changes: Record<string, string> = {}, query = example?.query) =>
    path.replace(/\{(\w+)\}/g, (_whole, name: string) => changes[name] ?? String(places[name])) + (query === undefined ? '' : `?${query}`)
  return { ann: isServers ? await serverOf(7) : ann, url }

  async function existingKey (): Promise<number> {
    if (path.includes('/admin/keys/')) return (await makeServerKey(db, ['read'])).id
    return path.includes('/me/keys/') ? (await ann.post('/api/me/keys', { name: 'a script' })).json().id : 1
  }

  /** A server with a key, and a user of its own. */
  async function serverOf (externalId: number): Promise<Client> {
    const server = clientOf(await keyWith(db, ['users', 'act', 'read', 'guests', 'v1']))
    await server.put(`/api/users/${externalId}`, { name: 'Secret Zoe' })
    return server
  }

  async function invite (username: string): Promise<number> {
    await as(username)
    return (await ann.post(`/api/conversations/${conversation}/users`, { username })).json().id
  }

  /** Makes Ann an admin, and creates a bot with her session. */
  async function makeBot (): Promise<number> {
    await db.$client.query("UPDATE users SET role = 'admin' WHERE username = 'ann'")
    if (name === 'POST /api/admin/bots') return 1
    return (await ann.post('/api/admin/bots', { name: 'parrot', engine: 'simulated', settings: {} })).json().id
  }

  async function failToDeliver (): Promise<number> {
    const [row] = await db.insert(whatsappDeliveries).values({ conversationId: conversation, messageId: 2, contact: 'secret', state: 'failed' }).returning()
    return row!.id
  }

  async function enterAsGuest (): Promise<Client> {
    const { token } = (await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
    const guest = clientOf({ authorization: `Bearer ${token}` })
    await guest.post('/chat', { content: 'First secret of Ann' })
    return guest
  }
}

/** The header of a server with a new key. */
export async function keyWith (db: Server['db'], scopes: KeyScope[]): Promise<{ authorization: string }> {
  return { authorization: `Bearer ${(await makeServerKey(db, scopes)).key}` }
}

async function makeServerKey (db: Server['db'], scopes: KeyScope[]) {
  const { key, hash: keyHash } = makeKey('pk_')
  const [row] = await db.insert(serverKeys).values({ name: 'shop', scopes, keyHash }).returning({ id: serverKeys.id })
  return { ...row!, key }
}

/** Sets Ann's email address (verified for a password reset), and puts the token of a mail to it into the example. */
async function mailAToken (db: Server['db'], path: string, { body }: Example = { status: 200 }) {
  const purpose = path === '/api/password/reset' ? 'password_reset' : 'email_verification'
  const [user] = await db.update(users).set({ email: 'ann@example.com', emailVerifiedAt: purpose === 'password_reset' ? new Date() : null })
    .where(eq(users.username, 'ann')).returning()
  if (body === undefined || !path.match(/password.reset|email.verify/)) return
  const [row] = await db.insert(oneTimeTokens)
    .values({ purpose, userId: user!.id, address: user!.email!, expiresAt: new Date(Date.now() + 60_000) }).returning()
  body['token'] = createTokens(SECRET).of({ ...row!, userId: user!.id })
}

/** The headers and body of the example. */
export function rightRequest ({ example: { body, headers = {} } = { status: 200 } }: Pick<Route, 'example'>): { headers: Headers, payload?: Buffer } {
  if (body === undefined) return { headers }
  return { headers: { 'content-type': 'application/json; charset=utf-8', ...headers }, payload: Buffer.from(JSON.stringify(body)) }
}

/** Sends a request. Of an event stream, which would not end, it waits only for the status and headers. */
export async function send ({ app }: Server, { method, responses }: Route, url: string, headers: Headers, payload: InjectOptions['payload']) {
  const request = { method, url, headers, ...payload !== undefined && { payload } }
  if (method !== 'GET' || responses[200]?.content?.['text/event-stream'] === undefined) return await app.inject(request)
  const answer = await app.inject({ ...request, payloadAsStream: true })
  if (answer.statusCode !== 200) return await app.inject(request)
  answer.stream().destroy()
  return answer
}

/** The number of rows of every table, and a hash of their contents. */
export async function everythingIn ({ db }: Server): Promise<Record<string, string>> {
  const { rows: tables } = await db.$client.query("SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'")
  const each = tables.map(({ name }) => `SELECT '${name}' AS name, count(*) || ' rows, ' || coalesce(md5(string_agg(r::text, '' ORDER BY r::text)), '') AS rows FROM "${name}" r`)
  const { rows } = await db.$client.query(each.join(' UNION ALL '))
  return Object.fromEntries(rows.map(({ name, rows }) => [name, rows]))
}
