import t from 'tap'
import { readFileSync } from 'node:fs'
import { ConfigSchema, readConfig } from '../src/config.js'

t.test('.env.example names every setting with its default', async t => {
  const lines = readFileSync('.env.example', 'utf8').split('\n').flatMap(line => /^#([A-Z_]+)=(.*)$/.exec(line) ?? [])
  const named = Object.fromEntries(lines.flatMap((name, n) => n % 3 === 1 ? [[name, lines[n + 1]]] : []))
  const defaults = Object.entries(ConfigSchema.properties).map(([name, schema]) => [name, String((schema as { default?: unknown }).default ?? '')])
  t.same(named, Object.fromEntries(defaults))
})

t.test('what webhooks may reach is names, addresses and networks', async t => {
  for (const WEBHOOK_ALLOW of ['bot.internal', 'localhost, 10.0.0.0/8,fd00::/8', '127.0.0.1', '::1', 'Bot_1.internal']) {
    t.equal(readConfig({ WEBHOOK_ALLOW }).WEBHOOK_ALLOW, WEBHOOK_ALLOW)
  }
  for (const WEBHOOK_ALLOW of ['10.0.0.0/33', '10.0.0.300', '0x7f.1', 'http://bot.internal', 'bot.internal:80', 'bot/1', 'a,,b', '*.internal,']) {
    t.throws(() => readConfig({ WEBHOOK_ALLOW }), { message: /WEBHOOK_ALLOW must match format "hosts"/ }, WEBHOOK_ALLOW)
  }
})
