import t from 'tap'
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { tidy } from '../../src/http/openapi-document.ts'
import { startApp } from '../support/helper.ts'

// The description of the API at /openapi.json, as generators of clients read it.

interface Content { schema: { $ref?: string, type?: string, items?: { $ref?: string }, anyOf?: unknown[] }, example?: unknown }
interface Response { $ref?: string, description: string, content?: Record<string, Content> }
interface Operation { operationId: string, tags: string[], security?: unknown[], requestBody?: { content: Record<string, Content> }, responses: Record<string, Response> }
interface Description {
  info: { title: string, license: unknown }
  servers: Array<{ url: string }>
  tags: Array<{ name: string, description: string }>
  paths: Record<string, Record<string, Operation>>
  security: unknown[]
  components: { schemas: Record<string, unknown>, responses: Record<string, Response>, securitySchemes: Record<string, { description: string }> }
}

/** Generated clients call these functions: a name in this list must not change. */
const OPERATION_IDS: Record<string, string> = {
  'GET /': 'getPage',
  'GET /api/test': 'getGreeting',
  'GET /health/live': 'getLiveness',
  'GET /health/ready': 'getReadiness',
  'GET /metrics': 'getMetrics',
  'GET /v1/models': 'listModels',
  'GET /v1/models/{id}': 'getModel',
  'POST /v1/chat/completions': 'createCompletion',
  'POST /chat': 'chat',
  'GET /chat/{id}': 'listUiMessages',
  'GET /chat/{id}/stream': 'resumeUiStream',
  'POST /chat/{id}/stop': 'stopUiChat',
  'GET /api/chat/{id}': 'listUiMessagesUnderApi',
  'GET /api/chat/{id}/stream': 'resumeUiStreamUnderApi',
  'POST /api/chat/{id}/stop': 'stopUiChatUnderApi',
  'POST /api/ag-ui': 'runAgent',
  'POST /api/ag-ui/{bot}': 'runBot',
  'POST /api/ag-ui/threads/{id}/stop': 'stopThread',
  'GET /chat/initial': 'beginGuestChat',
  'GET /chat/whatsapp': 'verifyWhatsAppWebhook',
  'POST /chat/whatsapp': 'receiveWhatsAppWebhook',
  'POST /api/chat': 'chatUnderApi',
  'GET /api/chat/initial': 'beginGuestChatUnderApi',
  'GET /api/chat/whatsapp': 'verifyWhatsAppWebhookUnderApi',
  'POST /api/chat/whatsapp': 'receiveWhatsAppWebhookUnderApi',
  'POST /register': 'register',
  'POST /login': 'logInForToken',
  'POST /api/signup': 'signUp',
  'GET /api/settings': 'getSettings',
  'POST /api/login': 'logIn',
  'POST /api/logout': 'logOut',
  'GET /api/logout': 'logOutByGet',
  'GET /api/oidc/start': 'startOidc',
  'GET /api/oidc/callback': 'finishOidc',
  'POST /api/password/forgot': 'forgotPassword',
  'POST /api/password/reset': 'resetPassword',
  'POST /api/email/verify': 'verifyEmail',
  'POST /api/email/resend': 'resendVerification',
  'GET /api/conversations': 'listConversations',
  'POST /api/conversations': 'createConversation',
  'GET /api/conversations/{id}': 'getConversation',
  'PUT /api/conversations/{id}': 'renameConversation',
  'PATCH /api/conversations/{id}': 'updateConversation',
  'DELETE /api/conversations/{id}': 'deleteConversation',
  'GET /api/conversations/{id}/messages': 'listMessages',
  'POST /api/conversations/{id}/messages': 'sendMessage',
  'GET /api/conversations/{id}/messages/{message}': 'getMessage',
  'PUT /api/conversations/{id}/messages/{message}': 'editMessage',
  'DELETE /api/conversations/{id}/messages/{message}': 'deleteMessage',
  'GET /api/conversations/{id}/events': 'streamEvents',
  'GET /api/events': 'streamNews',
  'PUT /api/conversations/{id}/read': 'markRead',
  'POST /api/conversations/{id}/stop': 'stopReplies',
  'POST /api/conversations/{id}/messages/{message}/regenerate': 'regenerateReply',
  'DELETE /api/me': 'deleteMe',
  'GET /api/me': 'getMe',
  'PATCH /api/me': 'updateMe',
  'GET /api/me/keys': 'listMyKeys',
  'POST /api/me/keys': 'createMyKey',
  'DELETE /api/me/keys/{id}': 'revokeMyKey',
  'GET /api/me/sessions': 'listSessions',
  'DELETE /api/me/sessions/{id}': 'endSession',
  'GET /api/me/usage': 'getMyUsage',
  'GET /api/me/export': 'exportMyData',
  'GET /api/conversations/{id}/users': 'listMembers',
  'POST /api/conversations/{id}/users': 'addMember',
  'DELETE /api/conversations/{id}/users/{user}': 'removeMember',
  'GET /api/conversations/{id}/bots': 'listConversationBots',
  'POST /api/conversations/{id}/bots': 'addConversationBot',
  'DELETE /api/conversations/{id}/bots/{bot}': 'removeConversationBot',
  'GET /api/bots': 'listBots',
  'GET /api/admin/users': 'listUsers',
  'POST /api/admin/users': 'createUser',
  'GET /api/admin/users/{id}': 'getUser',
  'PATCH /api/admin/users/{id}': 'updateUser',
  'DELETE /api/admin/users/{id}': 'deleteUser',
  'DELETE /api/admin/users/{id}/sessions': 'endUserSessions',
  'GET /api/admin/invitations': 'listInvitations',
  'POST /api/admin/invitations': 'createInvitation',
  'DELETE /api/admin/invitations/{id}': 'revokeInvitation',
  'GET /api/admin/log': 'listAdminLog',
  'GET /api/admin/keys': 'listKeys',
  'POST /api/admin/keys': 'createKey',
  'DELETE /api/admin/keys/{id}': 'revokeKey',
  'GET /api/users/{external_id}': 'getExternalUser',
  'PUT /api/users/{external_id}': 'putExternalUser',
  'DELETE /api/users/{external_id}': 'deleteExternalUser',
  'POST /api/users/{external_id}/tokens': 'mintToken',
  'GET /api/admin/usage': 'getUsage',
  'GET /api/admin/bots': 'listBotSettings',
  'POST /api/admin/bots': 'createBot',
  'PATCH /api/admin/bots/{id}': 'updateBot',
  'DELETE /api/admin/bots/{id}': 'deleteBot',
  'GET /api/admin/deliveries': 'listDeliveries',
  'POST /api/admin/deliveries/{id}/retry': 'retryDelivery',
  'POST /api/admin/whatsapp/templates/{name}': 'sendWhatsAppTemplate'
}

t.test('operation ids do not change', async t => {
  const { operations } = await describe(t)
  const found = Object.fromEntries(operations.map(({ name, operationId }) => [name, operationId]))
  t.strictSame(found, OPERATION_IDS)
  const names = Object.values(found)
  t.equal(new Set(names).size, names.length, 'each name once')
  for (const name of names) t.match(name, /^[a-z]+([A-Z][a-z]+)*$/)
})

t.test('the description has sections, named schemas, a server and a licence', async t => {
  const { description: { info, servers, tags, security: usual, components }, operations, length } = await describe(t)
  t.ok(length < 150_000, `${length} bytes`)
  t.match(info, { title: 'Parley', license: { identifier: 'MIT' } })
  t.match(servers, [{ url: '/' }])
  t.equal(tags[0]!.name, 'accounts')
  for (const { name, description } of tags) t.match(description, /^[A-Z].+\.$/, name)
  t.same(usual, [{ cookie: [] }, { bearer: [] }], 'the login of operations that say nothing else')
  for (const { name, tags: [tag, ...more], security = usual } of operations) {
    t.ok(tags.some(known => known.name === tag), `${name} is in a section with a description`)
    t.same(more, [])
    t.ok(Array.isArray(security), `${name} says whether it requires a login`)
  }
  for (const name of ['Message', 'Conversation', 'Error']) t.ok(components.schemas[name], name)
  t.same(Object.keys(operations.find(({ name }) => name === 'GET /metrics')!.responses['200']!.content!), ['text/plain'])
})

t.test('every request body and response has a named schema and an example', async t => {
  const { operations } = await describe(t)
  for (const { name, requestBody, responses } of operations) {
    for (const [where, content] of [['the body', requestBody?.content] as const, ...Object.entries(responses).map(([status, { content }]) => [status, content] as const)]) {
      for (const [type, { schema, example }] of Object.entries(content ?? {})) {
        // There is no example of errors of several statuses.
        t.equal(example === undefined, ['default', '4XX'].includes(where), `${name}, ${where}: an example`)
        if (type === 'application/json') t.ok(schema.$ref ?? schema.items?.$ref ?? schema.anyOf, `${name}, ${where}: a named schema`)
      }
    }
  }
})

t.test('every error is listed with its code and its status, once for all operations with a login', async t => {
  const { description: { components: { securitySchemes } }, operations } = await describe(t)
  for (const { name, responses } of operations) {
    for (const [status, { description }] of Object.entries(responses)) {
      if (status >= '400') t.match(`${description}; `, ['default', '4XX'].includes(status) ? /^([A-Z_]+ \([45]\d\d\): [^;]+; )+$/ : /^([A-Z_]+: [^;]+; )+$/, `${name}, ${status}`)
    }
    t.match(responses['default']!.description, /INTERNAL \(500\)/, `${name} lists the errors of every operation`)
  }
  const codes = (login: string) => [...securitySchemes[login]!.description.matchAll(/([A-Z_]+) \((\d+)\): /g)].map(([, code, status]) => `${status} ${code}`)
  t.same([codes('cookie'), codes('bearer')], [['403 CROSS_SITE'], ['401 UNAUTHORIZED', '403 MISSING_SCOPE', '403 ACCOUNT_LOCKED', '404 USER_NOT_FOUND']])
})

t.test('the errors of `useChat` are documented as plain text', async t => {
  const { operations } = await describe(t)
  const responsesOf = (id: string) => Object.entries(operations.find(({ operationId }) => operationId === id)!.responses)
  for (const [id, types] of [['chat', ['application/json', 'text/plain']], ['resumeUiStream', ['text/plain']], ['listUiMessages', ['application/json']]] as const) {
    for (const [status, { content }] of responsesOf(id)) if (status >= '400') t.same(Object.keys(content!), types, `${id}, ${status}`)
  }
  const [, { content }] = responsesOf('resumeUiStream').find(([status]) => status === '401')!
  t.equal(content!['text/plain']!.example, 'Please log in', 'the example is a sentence')
})

t.test('the example of a stream is in the protocol of its route', async t => {
  const { operations } = await describe(t)
  const examples = operations.flatMap(({ operationId, responses }) => {
    const content = responses['200']?.content?.['text/event-stream']
    return content === undefined ? [] : [[operationId, content.example as string] as const]
  })
  t.same(examples.filter(([, example]) => !example.startsWith('event: ')).map(([id]) => id), ['chat', 'chatUnderApi', 'createCompletion', 'runAgent', 'runBot', 'resumeUiStream', 'resumeUiStreamUnderApi'])
  for (const [id, example] of examples) t.doesNotThrow(() => JSON.parse(/^data: (.+)\n\n$/m.exec(example)![1]!), id)
})

t.test('redocly lint finds nothing', async t => {
  const { text, operations } = await describe(t)
  // Redirects are successes, too, unlike for the rule of redocly that is left out.
  for (const { name, responses } of operations) t.ok(Object.keys(responses).some(status => /^[23]/.test(status)), `${name} has a success`)
  const folder = t.testdir()
  await writeFile(path.join(folder, 'openapi.json'), text)
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [fileURLToPath(import.meta.resolve('@redocly/cli/bin/cli.js')), 'lint', '--skip-rule=operation-2xx-response', 'openapi.json'], {
    cwd: folder, env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' }
  })
  t.match(stdout + stderr, 'Your API description is valid')
  t.notMatch(stdout + stderr, /warning|error/i)
})

t.test('the title of /docs is Parley API', async t => {
  const { anyone } = await startApp(t)
  t.match((await anyone.get('/docs')).payload, '<title>Parley API</title>')
})

t.test('two different schemas cannot have the same title', async t => {
  const answer = (title: string, type: string) => ({ description: 'Default Response', content: { 'application/json': { schema: { title, type: 'object', properties: { text: { type } } } } } })
  const operation = (operationId: string, title: string, type: string) => ({ operationId, responses: { 200: answer(title, type) } })
  const document = (second: string) => ({ paths: { '/a': { get: operation('a', 'Text', 'string'), post: operation('b', second, 'integer') } }, components: {} })
  t.same(Object.keys(tidy(document('Number')).components['schemas'] as object), ['Text', 'Number'])
  t.throws(() => tidy(document('Text')), { message: 'Two schemas have the title Text: please give each its own.' })
})

async function describe (t: Parameters<typeof startApp>[0]) {
  const { anyone } = await startApp(t)
  const text = (await anyone.get('/openapi.json')).body
  const description = JSON.parse(text) as Description
  const whole = (response: Response) => response.$ref === undefined ? response : description.components.responses[response.$ref.replace(/.*\//, '')]!
  const operations = Object.entries(description.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => ({
    name: `${method.toUpperCase()} ${path}`,
    ...operation,
    responses: Object.fromEntries(Object.entries(operation.responses).map(([status, response]) => [status, whole(response)]))
  })))
  return { text, description, operations, length: Buffer.byteLength(text) }
}
