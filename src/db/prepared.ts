import { fillPlaceholders, sql, type SQL } from 'drizzle-orm'
import { PgDialect } from 'drizzle-orm/pg-core'
import type pg from 'pg'

const dialect = new PgDialect({ casing: 'snake_case' })

/**
 * Prepares a query, written with `sql`, whose values are given by the names of its placeholders. Each connection parses it
 * only once, under `name`, which is also its name in the metrics. Its text is made only once, too: Drizzle takes about
 * 50 µs for that, and `db.execute` would do it each time.
 * @returns a function from the values to the argument of `db.$client.query`; it throws when a value is missing
 */
export function prepareQuery (name: string, query: SQL): (values: Record<string, unknown>) => pg.QueryConfig {
  const { sql: text, params } = dialect.sqlToQuery(query)
  return values => ({ name, text, values: fillPlaceholders(params, values) })
}

/** Makes a query that is parsed each time, for one whose text varies. */
export function toQuery (query: SQL): pg.QueryConfig {
  const { sql: text, params: values } = dialect.sqlToQuery(query)
  return { text, values }
}

/** The value of this name in a prepared query. */
export const { placeholder: value } = sql

/**
 * Makes rows for `FROM` out of one array for each column. `types` maps the names of the columns, which are also the names
 * of the values, to their SQL types. A further column, `place`, has the number of the row, from 1.
 */
export function rowsFrom (alias: string, types: Record<string, string>): SQL {
  const arrays = Object.entries(types).map(([column, type]) => sql`${value(column)}::${sql.raw(type)}[]`)
  const names = [...Object.keys(types), 'place'].map(name => sql.identifier(name))
  return sql`unnest(${sql.join(arrays, sql`, `)}) WITH ORDINALITY AS ${sql.identifier(alias)} (${sql.join(names, sql`, `)})`
}
