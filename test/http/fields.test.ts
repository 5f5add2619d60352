import t from 'tap'
import { getTableColumns, is, type Column } from 'drizzle-orm'
import { PgTable } from 'drizzle-orm/pg-core'
import { createConversationStore } from '../../src/conversations/store.ts'
import { createMemberStore } from '../../src/conversations/members/store.ts'
import type { BotRow } from '../../src/bots/bot.ts'
import * as tables from '../../src/db/tables.ts'
import { API_KEY, startApp } from '../support/helper.ts'
import { connect, startLive, tokenOf, type Server } from '../support/live.ts'
import { begin, documentedRoutes, rightRequest, send, type Route } from '../support/routes.ts'

// Route handlers and event handlers get the fields that their schema names, and no others.

/** Every column of every table, by its name in TypeScript and in SQL. */
const columns = new Map(Object.values(tables).filter(table => is(table, PgTable)).flatMap(table =>
  Object.entries(getTableColumns(table) as Record<string, Column>).flatMap(([name, { dataType }]) =>
    [[name, dataType], [name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`), dataType]] as const)))

const BY_TYPE: Record<string, unknown> = { string: 'bob', number: 1, boolean: true, date: '2026-01-01T00:00:00.000Z', json: { a: 'text' } }

/** Names that objects inherit. */
const INHERITED = ['toString', 'constructor', 'hasOwnProperty', 'valueOf']

/** Fields of the other chats at `/chat`, by which a body is told apart. */
const CHOOSES: Record<string, string[]> = { 'as a guest': ['user_phone', 'user_message'], 'with the AI SDK': ['user_phone', 'user_message', 'content', 'token'] }

const WRONG = [1, 'zzz', { a: 'text' }, null, true, [1], ['bob'], '']

/** Four sets of fields that a body's schema does not name. In the first, each value has the right type; in the others it mostly has a wrong one. */
function strangers (own: string[], bodies: Array<Record<string, unknown>>): Array<Record<string, unknown>> {
  const right = new Map<string, unknown>([...columns].map(([name, type]) => [name, BY_TYPE[type] ?? 'bob']))
  for (const body of bodies) for (const [name, value] of Object.entries(body)) right.set(name, value)
  for (const name of INHERITED) right.set(name, 'bob')
  const names = [...right.keys()].filter(name => !own.includes(name))
  const withValues = (valueOf: (name: string, nth: number) => unknown) => Object.fromEntries(names.map((name, nth) => [name, valueOf(name, nth)]))
  return [
    withValues(name => right.get(name)),
    withValues(() => ['bob']),
    withValues((_name, nth) => WRONG[nth % WRONG.length]),
    withValues((_name, nth) => WRONG[(nth + 3) % WRONG.length])
  ]
}

/** Replaces what differs between two servers that got the same requests: times and random values. */
function alike (value: unknown) {
  return JSON.parse(JSON.stringify(value)
    .replace(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d(:\d\d)?)?/g, 'a time')
    .replace(/(created\\?":)\d+/g, '$10')
    .replace(/eyJ[\w.-]+/g, 'a token').replace(/(?<=")[pu]k_[\w-]+/g, 'a key').replace(/"[\da-f]{64}"/g, '"a hash"').replace(/(invite=|token\\?":\\?")[\w-]{32}/g, '$1a token').replace(/\$2b\$[^"\\]+/g, 'a hash').replace(/[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}/g, 'a uuid'))
}

/** Every row of every table. */
async function rowsOf ({ db }: Pick<Server, 'db'>) {
  const names = Object.values(tables).filter(table => is(table, PgTable)).map(table => (table as unknown as Record<symbol, string>)[Symbol.for('drizzle:Name')]!)
  const { rows } = await db.$client.query(names.map(name => `SELECT '${name}' AS name, coalesce(json_agg(r ORDER BY r::text), '[]') AS rows FROM "${name}" r`).join(' UNION ALL '))
  return alike(rows)
}

t.test('fields of a body that the schema does not name are ignored', async t => {
  const [plain, extended] = await Promise.all([startApp(t), startApp(t)])
  const routes = (await documentedRoutes(plain)).filter(({ body }) => body !== undefined)
  const bodies = [...routes.map(({ example }) => example.body!), { users: ['bob'], chat_session_id: 1, after: 0 }]
  for (const server of [plain, extended]) await server.as('bob')

  for (const route of routes) {
    const own = [...Object.keys(route.body!.properties!), ...CHOOSES[/ (as a guest|with the AI SDK)$/.exec(route.name)?.[1] ?? ''] ?? []]
    for (const [nth, fields] of strangers(own, bodies).entries()) {
      const [without, withFields] = await Promise.all([ask(plain, route, {}), ask(extended, route, fields)])
      t.same(withFields, without, `${route.name}: the response, fields ${nth}`)
      t.same(await rowsOf(extended), await rowsOf(plain), `${route.name}: every row, fields ${nth}`)
    }
  }

  async function ask (server: typeof plain, { ...route }: Route, fields: object) {
    const example = route.example = structuredClone(route.example) // `begin` writes the token of an email into it
    const { ann, url } = await begin(server, route)
    const body = { ...fields, ...example.body }
    const { headers, payload } = rightRequest({ example: { ...example, body } })
    const answer = await send(server, route, url(), { ...ann.headers, ...headers }, payload)
    return { status: answer.statusCode, body: alike(answer.payload) }
  }
})

t.test('fields of a socket’s event that the schema does not name are ignored', async t => {
  const servers = await Promise.all([startLive(t), startLive(t)])
  const sockets = await Promise.all(servers.map(async server => {
    await server.as('bob')
    const ann = await server.as('ann')
    const socket = await connect(t, server.url, { auth: { token: tokenOf(ann) } })
    const { chat_session_id: id } = await socket.emitWithAck('start_chat', { name: 'Plans' })
    return { server, socket, id: id as number }
  }))
  const [plain, extended] = sockets as [typeof sockets[0], typeof sockets[0]]
  const bodies = (await documentedRoutes(servers[0]!)).map(({ example }) => example?.body ?? {})
  const events = (id: number): Array<[event: string, input: object, own: string[]]> => [
    ['start_chat', { name: 'Plans' }, ['name', 'bots', 'users', 'stream']],
    ['send_message', { chat_session_id: id, text: 'Hi' }, ['chat_session_id', 'text', 'parts', 'metadata', 'client_id']],
    ['join_chat', { chat_session_id: id }, ['chat_session_id', 'after']]
  ]
  for (const [event, input, own] of events(plain.id)) {
    for (const [nth, fields] of strangers(own, [...bodies, { users: ['bob'], chat_session_id: 1, after: 0 }]).entries()) {
      const [without, withFields] = await Promise.all([plain.socket.emitWithAck(event, input), extended.socket.emitWithAck(event, { ...fields, ...input })])
      t.notOk(without.code)
      t.same(alike(withFields), alike(without), `${event}: the acknowledgement, fields ${nth}`)
      t.same(await rowsOf(extended.server), await rowsOf(plain.server), `${event}: every row, fields ${nth}`)
    }
  }
})

t.test('nobody is added to a conversation by a field that is not for it', async t => {
  const { anyone, as, clientOf, query } = await startApp(t)
  await as('ann')
  const { token } = (await anyone.get('/chat/initial', { 'x-api-key': API_KEY })).json()
  const guest = clientOf({ authorization: `Bearer ${token}` })
  const carl = await as('carl')
  for (const client of [guest, carl]) {
    for (const users of [['ann'], ['nobody'], [1], 'abc', {}, null, Array.from({ length: 150 }, (_, n) => `user ${n}`)]) {
      t.equal((await client.post('/api/conversations', { name: 'x', users })).statusCode, 201, JSON.stringify(users).slice(0, 40))
    }
  }
  const { id } = (await carl.post('/api/conversations', { name: 'x' })).json()
  t.equal((await carl.put(`/api/conversations/${id}`, { name: 'y', when_busy: 'zzz' })).statusCode, 200)
  t.match(await query('SELECT max(count)::int AS most FROM (SELECT count(*) FROM conversation_users GROUP BY conversation_id) c'), [{ most: 1 }])
})

t.test('the stores themselves refuse guests’ invitations and full conversations', async t => {
  const { db, as, query } = await startApp(t)
  await as('ann')
  const names = Array.from({ length: 120 }, (_, n) => `user ${n}`)
  await query('INSERT INTO users (username, username_key) SELECT name, name FROM unnest($1::text[]) name', [names])
  await query("INSERT INTO chatbots (name, engine) SELECT 'bot' || n, 'simulated' FROM generate_series(1, 9) n")
  const [{ id }] = await query("SELECT id::int FROM users WHERE username = 'ann'") as [{ id: number }]
  const titleOf = ({ id, name }: BotRow) => ({ id, name, description: null, streaming: false, is_default: false, is_ready: true })
  const conversations = createConversationStore(db, { ofUsers: 'simulated', ofGuests: 'simulated' }, titleOf, () => {})
  const members = createMemberStore(db, { mustBeMember: async () => { throw new Error('this must not be called') } }, () => {}, titleOf)
  const ann = { id, isGuest: false }
  const guest = { id, isGuest: true }

  await t.rejects(conversations.create(guest, { name: 'x', users: ['user 1'] }), { code: 'NOT_FOR_GUESTS' })
  await t.rejects(conversations.create(ann, { name: 'x', users: names.slice(0, 100) }), { code: 'CONVERSATION_FULL' })
  await t.rejects(conversations.create(ann, { name: 'x', bots: Array.from({ length: 9 }, (_, n) => `bot${n + 1}`) }), { code: 'CONVERSATION_FULL' })
  const full = await conversations.create(ann, { name: 'x', users: names.slice(0, 99) })
  await t.rejects(members.invite(ann, full.id, 'user 110'), { code: 'CONVERSATION_FULL' })
  await t.rejects(members.invite(guest, full.id, 'user 1'), { code: 'NOT_FOR_GUESTS' })
  t.match(await query('SELECT count(*)::int FROM conversation_users'), [{ count: 100 }])
})
