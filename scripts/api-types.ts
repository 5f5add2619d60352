import { writeFile } from 'node:fs/promises'
import openapiTS, { astToString } from 'openapi-typescript'
import { Value } from 'typebox/value'
import { buildApp } from '../src/app.ts'
import { ConfigSchema } from '../src/config.ts'
import { createDb } from '../src/db/client.ts'

// Writes the TypeScript types of the API for the page, from the server's own OpenAPI description. Needs no database.

const FILE = 'client/types.ts'
const silent = { debug () {}, info () {}, warn () {}, error () {} }

const app = await buildApp({
  config: Value.Create(ConfigSchema),
  secret: 'nothing is signed with this secret',
  db: createDb({ host: '/nowhere' }, silent)
})
const description = JSON.parse((await app.inject('/openapi.json')).body)
await app.close()
await writeFile(FILE, `// Made by \`npm run api-types\`.\n\n${astToString(await openapiTS(description))}`)
