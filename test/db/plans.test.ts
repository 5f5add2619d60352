import t from 'tap'
import pg from 'pg'
import { freshDatabase, run, startApp } from '../support/helper.ts'
import { begin, documentedRoutes, rightRequest, send } from '../support/routes.ts'

interface Plan { 'Node Type': string, 'Relation Name'?: string, Plans?: Plan[] }

/** Tables that grow with the number of users, conversations and messages. Reading all of one takes a time that does so, too. */
const GROWING = ['users', 'sessions', 'conversations', 'conversation_users', 'conversation_bots', 'messages', 'gone_conversations', 'reply_costs', 'admin_log']

/** The routes that may, and why. */
const MAY: Record<string, string> = {
  'GET /metrics': 'it counts all sessions',
  'GET /api/admin/usage': 'it adds up all replies, unless `from` and `before` limit the days',
  'DELETE /api/admin/bots/{id}': 'bots are rarely deleted, and an index of their messages would cost each message that is stored'
}

/**
 * A database with more rows than a plan would read one after the other if it needed only a few of them. Postgres must not count
 * the rows again meanwhile: once it knows that a single user has many of them, it may well read all.
 */
const FILL = `
  ${GROWING.map(table => `ALTER TABLE ${table} SET (autovacuum_enabled = false);`).join('\n  ')}
  SET session_replication_role = replica;
  INSERT INTO users (username, username_key) SELECT 'user-' || n, 'user-' || n FROM generate_series(1, 3000) n;
  INSERT INTO sessions (user_id, kind, expires_at) SELECT id, 'access_token', now() + interval '1 day' FROM users;
  INSERT INTO conversations (name, owner_id, last_rev) SELECT 'Chat', id, 10 FROM users;
  INSERT INTO conversation_users (conversation_id, user_id) SELECT id, owner_id FROM conversations;
  INSERT INTO conversation_bots (conversation_id, chatbot_id) SELECT id, (SELECT min(id) FROM chatbots) FROM conversations;
  INSERT INTO gone_conversations (conversation_id, user_id) SELECT 10000 + id, owner_id FROM conversations;
  INSERT INTO reply_costs (user_id, status, prompt_tokens, completion_tokens, created_at) SELECT id, 'complete', 1, 1, now() - n * interval '200 days' FROM users, generate_series(1, 10) n;
  INSERT INTO admin_log (admin_id, action, user_id) SELECT 1, 'user.lock', id FROM users;
  INSERT INTO messages (conversation_id, id, rev, sender, user_id, text) SELECT c.id, m, m, 'user', c.owner_id, 'Hi' FROM conversations c, generate_series(1, 10) m;
  ANALYZE`

const EXPLAIN = ['session_preload_libraries=auto_explain', 'auto_explain.log_min_duration=0', 'auto_explain.log_nested_statements=on', 'auto_explain.log_format=json', 'auto_explain.log_level=notice']

for (const mode of ['force_generic_plan', 'force_custom_plan']) {
  t.test(`no route reads a whole table (${mode})`, async t => {
    const connection = await freshDatabase(t)
    await run(connection, FILL)
    /** The tables that were read as a whole, each with the query. */
    const found = new Set<string>()
    let count = 0
    class Client extends pg.Client {
      constructor (config?: pg.ClientConfig) {
        super(config)
        this.on('notice', ({ message = '' }) => {
          if (!message.startsWith('duration: ')) return
          const { 'Query Text': query, Plan: plan } = JSON.parse(message.slice(message.indexOf('{'))) as { 'Query Text': string, Plan: Plan }
          count += 1
          for (const table of readWhole(plan)) if (GROWING.includes(table)) found.add(`${table}: ${query}`)
        })
      }
    }
    const options = [...EXPLAIN, `plan_cache_mode=${mode}`].map(setting => `-c ${setting}`).join(' ')
    const server = await startApp(t, {}, undefined, { ...connection, options, Client })
    for (const route of await documentedRoutes(server)) {
      const { ann, url } = await begin(server, route)
      const { headers, payload } = rightRequest(route)
      found.clear()
      await send(server, route, url(), { ...ann.headers, ...headers }, payload)
      if (MAY[route.name] === undefined) t.same([...found], [], route.name)
      else t.not(found.size, 0, `${route.name}: ${MAY[route.name]}`)
    }
    t.ok(count > 1000, 'the plans were seen')
  })
}

function readWhole (plan: Plan): string[] {
  const own = plan['Node Type'] === 'Seq Scan' ? [plan['Relation Name']!] : []
  return [...own, ...(plan.Plans ?? []).flatMap(readWhole)]
}
