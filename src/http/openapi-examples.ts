type Json = Record<string, unknown>

/** Values for the examples of the API's documentation, by the name of the field, or of the schema and the field. */
const VALUES: Json = {
  username: 'ann',
  password: 'correct horse',
  current_password: 'correct horse',
  passcode: 'correct horse',
  email: 'ann@example.com',
  phone_number: '+14155550123',
  picture: 'https://example.com/ann.png',
  name: 'Plans',
  'NewAccount.name': 'Ann Example',
  'NewUser.name': 'Ann Example',
  'Profile.name': 'Ann Example',
  'ProfileChanges.name': 'Ann Example',
  'AdminUser.name': 'Ann Example',
  'OneUser.name': 'Ann Example',
  'BotTitle.name': 'assistant',
  'BotName.name': 'assistant',
  'Bot.name': 'assistant',
  'BotChanges.name': 'assistant',
  'NewBot.name': 'helper',
  'NewKey.name': 'Web shop',
  'Key.name': 'Web shop',
  'MadeKey.name': 'Web shop',
  'NewPersonalKey.name': 'Backup script',
  'PersonalKey.name': 'Backup script',
  'MadePersonalKey.name': 'Backup script',
  'ExternalUserChanges.name': 'Ann Example',
  'ExternalUser.name': 'Ann Example',
  'Oidc.name': 'Keycloak',
  'Model.id': 'assistant',
  'NewCompletion.model': 'assistant',
  'Completion.choices': [{ index: 0, message: { role: 'assistant', content: 'Hello!' }, finish_reason: 'stop' }],
  'NewCompletion.messages': [{ role: 'user', content: 'Hello!' }],
  scopes: ['users', 'act'],
  key: 'pk_…',
  engine: 'openai',
  settings: { model: 'gpt-4.1-mini', prompt: 'Answer in one sentence.' },
  bots: ['assistant'],
  bot: 'assistant',
  model: 'gpt-4.1-mini',
  text: 'Hello!',
  content: 'Hello!',
  metadata: { topic: 'tea' },
  client_id: 'b3f1c9d2-7a54-4c0e-9a61-2f6f0d1c8e77',
  user_phone: '1111111111',
  user_message: 'hello',
  bot_message: 'What is your name?',
  message: 'Done',
  'Welcome.message': 'Login successful',
  msg: 'User created',
  token: 'eyJhbGciOiJIUzI1NiJ9.…',
  access_token: 'eyJhbGciOiJIUzI1NiJ9.…',
  link: 'https://chat.example.com/#invitation=…',
  language: 'en_US',
  day: '2026-11-28',
  ip: '203.0.113.7',
  user_agent: 'Mozilla/5.0',
  contact: '14155550123',
  whatsapp_id: 'wamid.HBgLMTQxNTU1NTAxMjMVAgARGBI',
  admin_name: 'ann',
  action: 'user.lock',
  'Status.status': 'ok',
  'Ready.status': 'ok',
  is_locked: true,
  when_busy: 'queue',
  description: 'Answers questions about orders',
  'NewPasscode.id': 'ann',
  'Passcode.id': 'ann',
  to: '14155550123',
  'RunAgentInput.messages': [{ id: 'b3f1c9d2-7a54-4c0e-9a61-2f6f0d1c8e77', role: 'user', content: 'Hello!' }]
}

/** Examples of answers that are not JSON, by media type. */
export const TEXTS: Record<string, string> = {
  'text/plain': 'OK',
  'text/html': '<!doctype html>…',
  'text/event-stream': 'event: delta\ndata: {"id":2,"offset":0,"text":"Hello"}\n\n'
}

/** A value that a schema allows, without the optional fields that have none in `VALUES`. `title` is the name of the component that the schema is part of, and `field` its name there. */
export function exampleOf (schema: Json, components: Record<string, Json>, title = '', field = ''): unknown {
  if (typeof schema['$ref'] === 'string') {
    const name = schema['$ref'].slice('#/components/schemas/'.length)
    const component = components[name]!
    return 'properties' in component ? exampleOf(component, components, name) : exampleOf(component, components, title, field)
  }
  const value = valueOf(title, field)
  if (Array.isArray(schema['enum'])) return schema['enum'].includes(value) ? value : schema['enum'][0]
  const types = [schema['type']].flat()
  if (value !== undefined) return value
  const choice = schema['else'] ?? (schema['anyOf'] as Json[] | undefined)?.[0]
  if (choice !== undefined) return exampleOf(choice as Json, components, title, field)
  return types.includes('null') ? null : exampleOfType(String(types[0]), schema, components, title)
}

function valueOf (title: string, field: string) {
  return VALUES[`${title}.${field}`] ?? VALUES[field]
}

function exampleOfType (type: string, schema: Json, components: Record<string, Json>, title: string) {
  if (type === 'object') {
    const required = (schema['required'] ?? []) as string[]
    const shown = Object.entries(schema['properties'] as Json).filter(([name]) => required.includes(name) || valueOf(title, name) !== undefined)
    return Object.fromEntries(shown.map(([name, property]) => [name, exampleOf(property as Json, components, title, name)]))
  }
  if (type === 'array') return [exampleOf(schema['items'] as Json, components, title)]
  if (type === 'integer' || type === 'number') return Math.max(1, Number(schema['minimum'] ?? 1))
  if (type === 'boolean') return false
  return schema['format'] === 'date-time' ? '2026-11-28T09:30:00.000Z' : 'text'
}
