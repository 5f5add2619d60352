import t from 'tap'
import { readFileSync } from 'node:fs'
import { ConfigSchema } from '../src/config.js'

t.test('.env.example names every setting with its default', async t => {
  const lines = readFileSync('.env.example', 'utf8').split('\n').flatMap(line => /^#([A-Z_]+)=(.*)$/.exec(line) ?? [])
  const named = Object.fromEntries(lines.flatMap((name, n) => n % 3 === 1 ? [[name, lines[n + 1]]] : []))
  const defaults = Object.entries(ConfigSchema.properties).map(([name, schema]) => [name, String((schema as { default?: unknown }).default ?? '')])
  t.same(named, Object.fromEntries(defaults))
})
