import t from 'tap'
import { globSync, readFileSync } from 'node:fs'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { CONTACT_ORIGINS } from '../../src/enums.ts'
import { freshDatabase } from '../support/helper.ts'
import { connect } from '../support/process.ts'

const FILE = 'drizzle/functions.sql'
const file = readFileSync(FILE, 'utf8')

/** Our functions, triggers and views, with the definitions that Postgres gives. */
const OBJECTS = `
  SELECT 'function' AS kind, oid::regprocedure::text AS name, pg_get_functiondef(oid) AS is FROM pg_proc WHERE pronamespace = 'public'::regnamespace
  UNION ALL SELECT 'trigger', tgname || ' on ' || tgrelid::regclass, pg_get_triggerdef(tgr.oid) FROM pg_trigger tgr
    JOIN pg_class ON pg_class.oid = tgrelid WHERE relnamespace = 'public'::regnamespace AND NOT tgisinternal
  UNION ALL SELECT 'view', oid::regclass::text, pg_get_viewdef(oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')
  ORDER BY 1, 2`

/** Drops all of them, so that afterwards only those exist that functions.sql creates. */
const REMOVE = `
  DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'v' LOOP EXECUTE format('DROP VIEW %I CASCADE', one.relname); END LOOP;
    FOR one IN SELECT tgname, tgrelid::regclass AS of FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
      WHERE relnamespace = 'public'::regnamespace AND NOT tgisinternal LOOP EXECUTE format('DROP TRIGGER %I ON %s', one.tgname, one.of); END LOOP;
    FOR one IN SELECT oid::regprocedure AS signature FROM pg_proc WHERE pronamespace = 'public'::regnamespace
      LOOP EXECUTE format('DROP ROUTINE IF EXISTS %s CASCADE', one.signature); END LOOP;
  END $$`

interface SqlObject { kind: string, name: string, is: string }

t.test('functions.sql creates exactly the functions, triggers and views that the migrations create', async t => {
  const client = await connect(t, await freshDatabase(t))

  /** The differences between what `file` creates and what the migrated database has after `changes`. */
  async function differences (file: string, changes = '') {
    await client.query('BEGIN')
    await client.query(changes)
    const { rows: migrated } = await client.query<SqlObject>(OBJECTS)
    await client.query(REMOVE)
    const { rows: left } = await client.query<SqlObject>(OBJECTS)
    await client.query(file)
    const { rows: made } = await client.query<SqlObject>(OBJECTS)
    await client.query('ROLLBACK')
    t.same(left, [])
    const isIn = (objects: SqlObject[]) => ({ kind, name, is }: SqlObject) => objects.some(other => other.kind === kind && other.name === name && other.is === is)
    return [...migrated.filter(one => !isIn(made)(one)), ...made.filter(one => !isIn(migrated)(one))].map(({ kind, name }) => `${kind} ${name}`)
  }

  t.same(await differences(file), [], 'no differences; otherwise copy the changes of the migration into functions.sql')
  t.same(await differences(file, 'CREATE FUNCTION another () RETURNS integer LANGUAGE sql AS $$ SELECT 1 $$'), ['function another()'],
    'a function that only a migration creates is found')
  t.same(await differences(file + "CREATE VIEW another AS SELECT 'x' AS y"), ['view another'], 'a view that only functions.sql creates is found')
  t.same(await differences(file.replace("interval '12 hours'", "interval '13 hours'")),
    Array(2).fill('function is_conversation_over(origin,timestamp with time zone)'), 'a difference in a body is found')
  t.same(await differences(file, 'ALTER TABLE conversation_users DISABLE TRIGGER set_used_in; DROP TRIGGER move_used_in ON conversations'),
    ['trigger move_used_in on conversations'], 'a missing trigger is found')
})

t.test('the header of each function and view in functions.sql has the whole contract', async t => {
  const client = await connect(t, await freshDatabase(t))
  const { rows } = await client.query<{ relname: string }>("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
  const relations = rows.map(({ relname }) => relname)
  const objects = [...file.matchAll(/((?:^--.*\n)*)^CREATE OR REPLACE (FUNCTION|TRIGGER|VIEW) (\w+)[\s\S]*?(?=\n\n|$(?![\s\S]))/gm)]
    .map(([text, header, kind, name]) => ({ name: name!, kind: kind!, header: header!.replaceAll(/^-- ?/gm, ''), body: text.slice(header!.length) }))
  const sources = globSync('src/**/*.ts').map(path => readFileSync(path, 'utf8').replaceAll(/^ *(\/\/|\/?\*).*$/gm, ''))
  t.ok(objects.length > 20)

  for (const { name, kind, header, body } of objects.filter(({ kind }) => kind !== 'TRIGGER')) {
    const labels = [...header.matchAll(/^(Locks|Returns|Raises|Called by): \S/gm)].map(([, label]) => label)
    t.ok(header.startsWith(`${name}: `), `the header of ${name} has a description`)
    t.same(labels, ['Locks', 'Returns', 'Raises', 'Called by'], `the header of ${name} has all four labels`)
    for (const [, state] of body.matchAll(/ERRCODE = '(\w+)'/g)) t.ok(header.includes(state!), `the header of ${name} has ${state}`)
    if (body.includes('FOR NO KEY UPDATE') || body.includes('advisory')) t.notMatch(header, /^Locks: nothing/m, `the header of ${name} says what it locks`)

    const callers = header.slice(header.indexOf('Called by:'))
    const isCalled = new RegExp(`\\b${name} ?\\(`)
    const sqlCallers = objects.filter(other => other.body !== body && isCalled.test(other.body)).map(other => other.name)
    for (const caller of sqlCallers) t.ok(callers.includes(caller), `the header of ${name} names its caller ${caller}`)
    for (const [word] of callers.matchAll(/\b[a-z]+(_[a-z]+)+\b/g)) t.ok(sqlCallers.includes(word) || relations.includes(word), `${word} in the header of ${name} is a caller`)

    const named = [...callers.matchAll(/`(\w+)`/g)].map(([, caller]) => new RegExp(`^(export )?(async )?function ${caller}\\b`, 'm'))
    const callingFiles = sources.filter(source => isCalled.test(source) && !source.includes('pgTable(\''))
    for (const source of callingFiles) t.ok(named.some(caller => caller.test(source)), `the header of ${name} names a caller in src/`)
    for (const caller of named) t.ok(callingFiles.some(source => caller.test(source)), `${caller} calls ${name}`)
    if (kind === 'FUNCTION') t.ok(sqlCallers.length + callingFiles.length > 0, `${name} is in use`)
  }
})

t.test('parameters of queries have names', async t => {
  for (const path of globSync('src/**/*.ts')) {
    const source = readFileSync(path, 'utf8')
    const numbers = [...source.matchAll(/\$(\d+)/g)].map(([, number]) => Number(number))
    t.ok(Math.max(0, ...numbers) <= 5, `${path}: no query has more than five numbered parameters, which are hard to tell apart; prepareQuery gives them names`)
    for (const [, name] of file.matchAll(/^CREATE OR REPLACE FUNCTION (\w+) \([^)]*,/gm)) {
      if (name === 'is_conversation_over') continue // its two arguments have different types, so they cannot be swapped by mistake
      for (const [call, first] of source.matchAll(new RegExp(`\\b${name}\\(\\s*(\\S+(?: =>)?)`, 'g'))) t.match(first, /^in_\w+ =>$/, `${path}: ${call}`)
    }
  }
})

/** A message to a conversation, and the state of that conversation. The bots have the ids 1 to 3. */
const CASE = fc.record({
  origin: fc.constantFrom('web', 'api', 'phone', 'whatsapp'),
  isMember: fc.boolean().map(isNot => !isNot),
  bots: fc.subarray([1, 2, 3]),
  replies: fc.subarray([1, 2, 3]).chain(bots => fc.tuple(...bots.map(bot => fc.record({ bot: fc.constant(bot), text: fc.string({ unit: 'grapheme' }) })))),
  isStateOld: fc.constantFrom(true, true, true, false),
  clientId: fc.constantFrom(null, 'new', 'used'),
  wasFinished: fc.boolean(),
  isFinished: fc.constantFrom(true, false, null),
  text: fc.string({ unit: 'grapheme' }),
  metadata: fc.option(fc.dictionary(fc.string({ unit: 'grapheme' }), fc.integer())).map(asJson),
  parts: fc.option(fc.array(fc.record({ type: fc.constant('text'), text: fc.string({ unit: 'grapheme' }) }))).map(asJson)
})

function asJson (value: unknown) {
  return value === null ? null : JSON.stringify(value)
}

type Case = typeof CASE extends fc.Arbitrary<infer One> ? One : never
interface Place { author: number, conversation: number }

t.test('append_message and append_messages store the same for the same input', async t => {
  const client = await connect(t, await freshDatabase(t))
  const { rows: bots } = await client.query<{ id: string }>('SELECT id FROM chatbots ORDER BY id LIMIT 3')
  const botIds = (numbers: number[]) => numbers.map(number => bots[number - 1]!.id)
  const { rows: [somebodyElse] } = await client.query<{ id: string }>('INSERT INTO users DEFAULT VALUES RETURNING id')
  const outcomes = new Map<string, number>()

  async function prepare ({ origin, isMember, bots, wasFinished }: Case): Promise<Place> {
    const { rows: [{ id: author }] } = await client.query('INSERT INTO users DEFAULT VALUES RETURNING id')
    const { rows: [{ id: conversation }] } = await client.query(`
      INSERT INTO conversations (name, owner_id, origin, state, is_finished, last_rev, last_updated)
      VALUES ('', $1, $2, '{"before": 1}', $3, 5, now() - interval '1 hour') RETURNING id`, [author, origin, wasFinished])
    const members = isMember ? [author, somebodyElse!.id] : [somebodyElse!.id]
    await client.query('INSERT INTO conversation_users (conversation_id, user_id) SELECT $1, * FROM unnest($2::bigint[])', [conversation, members])
    await client.query('INSERT INTO conversation_bots SELECT $1, * FROM unnest($2::bigint[])', [conversation, botIds(bots)])
    await client.query("INSERT INTO messages (conversation_id, id, rev, sender, user_id, text, client_id) VALUES ($1, 1, 1, 'user', $2, '', 'used')", [conversation, author])
    return { author, conversation }
  }

  /** The result of a call, or its error. A call with an error must store nothing. */
  async function attempt (sql: string, values: unknown[]) {
    await client.query('SAVEPOINT before')
    return await client.query<{ conversation: number, id: number, isNow: boolean }>(sql, values).then(({ rows }) => rows, async error => {
      await client.query('ROLLBACK TO before')
      return `${error.code} ${error.constraint}`
    })
  }

  const stateOf = ({ isStateOld }: Case) => isStateOld ? '{"before": 1}' : '{"before": 2}'

  async function one ({ replies, ...message }: Case, { author, conversation }: Place) {
    return await attempt(`
      SELECT a.id, a.created_at = c.last_updated AS "isNow", cardinality(a.statuses) FROM conversations c, append_message(
        in_conversation => $1, in_author => $2, in_text => $3, in_client_id => $4, in_client_text_hash => $4 || ' hash', in_bots => $5,
        in_replies => $6, in_old_state => $7, in_new_state => '{"after": 1}', in_finished => $8, in_owner => NULL,
        in_metadata => $9, in_parts => $10) a WHERE c.id = $1`,
    [conversation, author, message.text, message.clientId, botIds(replies.map(({ bot }) => bot)), replies.map(({ text }) => text), stateOf({ replies, ...message }), message.isFinished, message.metadata, message.parts])
  }

  async function many (cases: Case[], places: Place[]) {
    const replies = cases.flatMap(({ replies }, index) => replies.map(reply => ({ ...reply, to: index + 1 })))
    return await attempt(`
      SELECT a.conversation, a.id, a.created_at = c.last_updated AS "isNow" FROM append_messages(
        in_conversations => $1, in_authors => $2, in_texts => $3, in_client_ids => $4, in_client_text_hashes => $5, in_old_states => $6,
        in_new_states => $7, in_finished => $8, in_reply_to => $9, in_bots => $10, in_replies => $11, in_metadata => $12, in_parts => $13) a JOIN conversations c ON c.id = a.conversation`,
    [
      places.map(({ conversation }) => conversation), places.map(({ author }) => author), cases.map(({ text }) => text), cases.map(({ clientId }) => clientId),
      cases.map(({ clientId }) => clientId && `${clientId} hash`), cases.map(stateOf), cases.map(() => '{"after": 1}'), cases.map(({ isFinished }) => isFinished),
      replies.map(({ to }) => to), botIds(replies.map(({ bot }) => bot)), replies.map(({ text }) => text), cases.map(({ metadata }) => metadata), cases.map(({ parts }) => parts)
    ])
  }

  /** The stored rows of a conversation. All new rows must have the same time. */
  async function stored ({ author, conversation }: Place) {
    const { rows: [row] } = await client.query(`
      SELECT c.state, c.is_finished, c.last_rev, c.last_updated > now() - interval '1 minute' AS is_used,
        (SELECT json_agg(u.used_in = date_bin('1 minute', c.last_updated, 'epoch')) FROM conversation_users u WHERE u.conversation_id = c.id) AS used_in,
        (SELECT json_agg(to_jsonb(m) - 'conversation_id' || jsonb_build_object('user_id', m.user_id = $2, 'created_at', m.created_at = c.last_updated) ORDER BY m.id)
         FROM messages m WHERE m.conversation_id = c.id) AS messages
      FROM conversations c WHERE c.id = $1`, [conversation, author])
    return row
  }

  await fc.assert(fc.asyncProperty(fc.array(CASE, { minLength: 1, maxLength: 8 }), async cases => {
    await client.query('BEGIN')
    const [singly, together] = [[] as Place[], [] as Place[]]
    for (const one of cases) for (const places of [singly, together]) places.push(await prepare(one))

    const isRefused = (index: number) => cases[index]!.clientId === 'used'
    const batches = [cases.flatMap((_, index) => isRefused(index) ? [] : [index]), ...cases.flatMap((_, index) => isRefused(index) ? [[index]] : [])]
    for (const batch of batches) {
      const gives = await many(batch.map(index => cases[index]!), batch.map(index => together[index]!))
      for (const index of batch) {
        const single = await one(cases[index]!, singly[index]!)
        const { conversation } = together[index]!
        const outcome = typeof single === 'string' ? single : single.length === 0 ? 'not stored' : 'stored'
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
        const shown = (rows: typeof single) => typeof rows === 'string' ? rows : rows.map(({ id, isNow }) => ({ id, isNow }))
        assert.deepEqual(typeof gives === 'string' ? gives : shown(gives.filter(row => row.conversation === conversation)), shown(single))
        assert.deepEqual(await stored(together[index]!), await stored(singly[index]!))
      }
    }
    await client.query('ROLLBACK')
  }), { numRuns: 70, seed: 17 })
  for (const outcome of ['stored', 'not stored', '23505 messages_client_id']) t.ok(outcomes.get(outcome)! > 20, `${outcome}: ${outcomes.get(outcome)}`)
})

t.test('TypeScript and SQL list the same channels whose users have no account', async t => {
  const client = await connect(t, await freshDatabase(t))
  const { rows } = await client.query<{ origin: string }>('SELECT unnest::text AS origin FROM unnest(enum_range(NULL::origin)) WHERE is_contact_origin(unnest)')
  t.same(rows.map(({ origin }) => origin), CONTACT_ORIGINS)
})
