import { Value } from 'typebox/value'
import { buildApp } from '../../src/app.ts'
import { ConfigSchema } from '../../src/config.ts'
import { createDb } from '../../src/db/client.ts'
import { SECRET, silent } from './constants.ts'
import { storeCompiled } from './load-faster.ts'

// Builds an app, which has V8 compile what most tests need of packages, and stores the result. Needs no database.

const [, , folder] = process.argv
const app = await buildApp({ config: Value.Create(ConfigSchema), secret: SECRET, db: createDb({ host: '/nowhere' }, silent) })
await app.inject('/openapi.json')
await app.close()
storeCompiled(folder!)
