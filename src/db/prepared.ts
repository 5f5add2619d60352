import { fillPlaceholders, sql, type SQL } from 'drizzle-orm'
import { PgDialect } from 'drizzle-orm/pg-core'
import type pg from 'pg'

const dialect = new PgDialect({ casing: 'snake_case' })

/**
 * A query that each connection parses once, under this name, which is also its name in the metrics. It is written with
 * `sql`, and its values are given by the names of its placeholders. Drizzle takes about 50 µs to write the text of a
 * query, so this is done once, and not each time as in `db.execute`. The driver reads the rows as `createDb` says.
 * @returns what `db.$client.query` takes, for the given values; throws when one is missing
 */
export function prepareQuery (name: string, query: SQL): (values: Record<string, unknown>) => pg.QueryConfig {
  const { sql: text, params } = dialect.sqlToQuery(query)
  return values => ({ name, text, values: fillPlaceholders(params, values) })
}

/** The same, but parsed each time: for a query whose text depends on what is asked for. */
export function toQuery (query: SQL): pg.QueryConfig {
  const { sql: text, params: values } = dialect.sqlToQuery(query)
  return { text, values }
}

/** The value of this name in a prepared query. */
export const { placeholder: value } = sql

/**
 * Rows for `FROM`, given as one array for each column under the name of the column. `types` has the columns with their SQL
 * types. `place` is the number of the row, from 1.
 */
export function rowsFrom (alias: string, types: Record<string, string>): SQL {
  const arrays = Object.entries(types).map(([column, type]) => sql`${value(column)}::${sql.raw(type)}[]`)
  const names = [...Object.keys(types), 'place'].map(name => sql.identifier(name))
  return sql`unnest(${sql.join(arrays, sql`, `)}) WITH ORDINALITY AS ${sql.identifier(alias)} (${sql.join(names, sql`, `)})`
}
