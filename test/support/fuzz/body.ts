import { getTableColumns, is, Table } from 'drizzle-orm'
import * as tables from '../../../src/db/tables.ts'
import type { Route } from '../routes.ts'
import type { Draw } from './draw.ts'
import { STRINGS } from './hostile.ts'
import { valueOf, type Hints, type Schema } from './values.ts'
import type { World } from './world.ts'

/** The names of all columns, in snake case and camel case. A handler that passes a whole body to the database would write some of them. */
const COLUMNS = [...new Set(Object.values(tables).filter(table => is(table, Table)).flatMap(table => Object.keys(getTableColumns(table as Table)))
  .flatMap(name => [name, name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)])), 'is_admin']

/** The documented example with some fields replaced, or a body generated from the schema; sometimes with fields that are in no schema. */
export function drawBody (draw: Draw, world: World, { body: schema, example }: Route, hints: Hints): unknown {
  if (schema === undefined) return structuredClone(example?.body)
  const generated = valueOf(draw, schema as Schema, hints)
  if (typeof generated !== 'object' || generated === null || Array.isArray(generated)) return generated
  const body: Record<string, unknown> = {}
  if (example?.body !== undefined && draw.chance(40)) {
    const name = draw.pick(Object.keys(generated))
    Object.assign(body, structuredClone(example.body), draw.chance(60) && name !== undefined && { [name]: generated[name as never] })
  } else {
    Object.assign(body, generated)
  }
  if (draw.chance(20)) addUnknown(draw, world, body, schema as Schema)
  return body
}

/** One or many extra fields: columns, and fields of other bodies, which another handler or the store might accept. */
function addUnknown (draw: Draw, { bodyFields }: World, body: Record<string, unknown>, { properties = {} }: Schema) {
  const names = draw.pick([bodyFields, COLUMNS])
  for (let n = draw.pick([1, 5, 30]); n > 0; n--) {
    const name = draw.pick(names)
    if (name in properties || name in body) continue
    body[name] = draw.chance(50) ? draw.pick(STRINGS).slice(0, 100) : draw.pick<unknown>([1, 'admin', [1], ['ann'], {}, true, null, new Date(0).toISOString()])
  }
}
