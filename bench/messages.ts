import { MESSAGES_PAGE } from '../src/conversations/messages/store.ts'
import { CONVERSATIONS_PAGE } from '../src/conversations/store.ts'
import { encodeCursor } from '../src/http/paging.ts'
import { openBench, run, tokenOf, type Filled, type Size } from './database.ts'
import { drive, type Call } from './load.ts'
import { hasPgbench, pgbench, type Length } from './pgbench.ts'
import { inTurns, rowOf, type Contest } from './rounds.ts'
import type { Measure } from './row.ts'
import { percentile } from './server.ts'
import { bestOf, limitOf, startBareServer } from './yardsticks.ts'

/** The small database has 100,000 messages. The large one has 200,000 conversations with 10,000,000 messages, and one with 1,000,000. */
const FULL = { users: 1_900, conversations: 100, messages: 50, rich: 10_000, longest: 1_000_000 }
const QUICK = { users: 10, conversations: 100, messages: 50, rich: 1_000, longest: 10_000 }
const SMALL: Size = { users: 20, conversations: 100, messages: 50, rich: 0, longest: 0 }
const PLACES = SMALL.users * SMALL.conversations

/**
 * As long as the messages that are there. Shorter ones would fit into the rest of nearly every page of the large database, and
 * each would be written to a page of its own, until these gaps are filled: once in the life of a table, and not in the small database.
 */
const TEXT = 'What is to be said about number 51, and is it much?'
const PARTS = [{ type: 'text', text: TEXT }, { type: 'data', name: 'seat', data: { row: 12, seat: 'C' } }]
const PAGE = 50

/** The number of clients that request a page of conversations at once, when two pages are compared. */
const AT_ONCE = 4

/** One kind of request, and the share of the limit that it is to reach. */
interface Kind { what: string, callsOf: (filled: Filled) => Call[], share: number }

/** The same work in the database alone: a statement, how many requests' work it does, and the numbers of clients of which the best one counts. */
interface Bare { script: string, worth: number, clients: number[] }

/** Sending and reading messages: compares HTTP with what the machine allows, and a large database with a small one. */
export const measure: Measure = async ({ isQuick }) => {
  const [rounds, seconds] = isQuick ? [1, 1] : [5, 3]
  const length: Length = isQuick ? { each: 20 } : { seconds: 2 }
  const bench = await openBench()
  const http = await startBareServer(TEXT)
  try {
    const small = await bench.fill('small', SMALL)
    const large = await bench.fill('large', isQuick ? QUICK : FULL)
    const canCompare = await hasPgbench()

    async function compare (kinds: Kind[], { script, worth, clients }: Bare) {
      const figures = await inTurns({
        http: () => http.measure(seconds),
        ...Object.fromEntries(kinds.flatMap(({ what, callsOf }) => [
          [what, () => drive(small.url, callsOf(small), seconds)],
          [`large ${what}`, () => drive(large.url, callsOf(large), seconds)]
        ])),
        ...Object.fromEntries(canCompare ? clients.map(count => [count, async () => worth * await pgbench(small.connection, script, length, count)]) : [])
      } as Contest, rounds)
      const database = bestOf(clients.flatMap(count => figures[count] === undefined ? [] : [figures[count]]))
      return kinds.flatMap(({ what, share }) => [
        { ...rowOf(what, figures[what]!, limitOf(figures['http']!, database), { share }), ...canCompare && { note: `HTTP alone ${medianOf(figures['http']!)}/s, the database alone ${medianOf(database)}/s` } },
        rowOf(`${what}, ${millions(large.size)} messages`, figures[`large ${what}`]!, figures[what]!, { cost: 1.2 })
      ])
    }

    const rows = [
      ...await compare([{ what: 'newest 50 messages', callsOf: readsOf, share: 0.6 }], { script: NEWEST_50, worth: 1, clients: [4, 16] }),
      ...await compare([{ what: 'list of conversations', callsOf: listsOf, share: 0.6 }], { script: LIST, worth: 1, clients: [4, 16] }),
      ...await compare([
        { what: 'send a message', callsOf: sendsOf({ text: TEXT }), share: 0.4 },
        { what: 'guided chat by phone', callsOf: phonesOf, share: 0.35 }
      ], { script: APPEND_64, worth: 64, clients: [1, 2, 4] })
    ]

    const parts = await inTurns({
      with: () => drive(small.url, sendsOf({ parts: PARTS })(small), seconds),
      without: () => drive(small.url, sendsOf({ text: TEXT })(small), seconds)
    }, rounds)
    rows.push(rowOf('send a message of parts', parts.with, parts.without, { cost: 1.1 }))

    const { size: { users, conversations, rich } } = large
    for (const [which, offset] of [['first', 0], ['last', Infinity]] as const) {
      const few = await pageOf(large, 1, Math.min(offset, conversations - PAGE))
      const many = await pageOf(large, users + 1, Math.min(offset, rich - PAGE))
      const { measured, yardstick } = await inTurns({
        measured: () => drive(large.url, [many], seconds, AT_ONCE),
        yardstick: () => drive(large.url, [few], seconds, AT_ONCE)
      }, rounds)
      rows.push(rowOf(`${which} page of ${rich.toLocaleString('en')} conversations`, measured, yardstick, { cost: 2 }))
    }
    return rows
  } finally {
    await http.stop()
    await bench.close()
  }
}

const millions = ({ users, conversations, messages, rich, longest }: Size) =>
  ((users * conversations + rich) * messages + longest).toLocaleString('en')

const medianOf = (figures: number[]) => Math.round(percentile(figures, 50)).toLocaleString('en')

/** As many conversations as the small database has, from all parts of the large one, and the longest conversation. */
function placesOf ({ size: { users, conversations, rich, longest } }: Filled) {
  const most = users * conversations
  const places = Array.from({ length: PLACES }, (_, n) => Math.floor(n * most / PLACES) + 1)
    .map(conversation => ({ conversation, user: Math.ceil(conversation / conversations) }))
  return longest === 0 ? places : [...places.slice(1), { conversation: most + rich + 1, user: 1 }]
}

const messagesOf = (conversation: number) => `/api/conversations/${conversation}/messages`

function readsOf (filled: Filled): Call[] {
  return placesOf(filled).map(({ conversation, user }) => ({ method: 'GET', path: messagesOf(conversation), token: tokenOf(user) }))
}

const sendsOf = (body: object) => (filled: Filled): Call[] =>
  placesOf(filled).map(({ conversation, user }) => ({ method: 'POST', path: messagesOf(conversation), token: tokenOf(user), body }))

/** Lists of the last 100 users. The first user is left out, because they have one more conversation in the large database. */
function listsOf ({ size: { users } }: Filled): Call[] {
  return Array.from({ length: Math.min(users, 100) }, (_, n) => ({ method: 'GET', path: '/api/conversations', token: tokenOf(users - n) }))
}

/** Ten times as many phones as there are connections, so that no phone has two messages under way at the same time. */
function phonesOf (): Call[] {
  return Array.from({ length: 640 }, (_, n) => ({ method: 'POST', path: '/chat', body: { user_phone: `+49 30 ${100_000 + n}`, user_message: 'hello' } }))
}

/** A page of a user's conversations after the first n. */
async function pageOf ({ connection }: Filled, user: number, offset: number): Promise<Call> {
  const [before] = offset === 0
    ? []
    : await run(connection, `SELECT c.id, c.last_updated AS time FROM conversation_users cu JOIN conversations c ON c.id = cu.conversation_id
      WHERE cu.user_id = ${user} ORDER BY c.last_updated DESC, c.id DESC OFFSET ${offset - 1} LIMIT 1`)
  const query = before === undefined ? '' : `?cursor=${encodeCursor({ time: before.time, id: Number(before.id) })}`
  return { method: 'GET', path: `/api/conversations${query}`, token: tokenOf(user) }
}

const filled = (sql: string, ...values: string[]) => sql.replace(/\$(\d+)/g, (_, nth) => values[nth - 1]!).trim()

const SOMEBODY = `\\set conversation random(1, ${PLACES})
\\set user (:conversation - 1) / ${SMALL.conversations} + 1
`

/**
 * The SQL behind sending: the statement that stores 64 messages and their replies. Each client has conversations of its own.
 */
const APPEND_64 = `\\set first :client_id * ${PLACES / 4} + random(1, ${PLACES / 4 - 63})
SELECT count(id) FROM append_messages(
  in_conversations => ARRAY(SELECT n FROM generate_series(:first, :first + 63) n),
  in_authors => ARRAY(SELECT (n - 1) / ${SMALL.conversations} + 1 FROM generate_series(:first, :first + 63) n),
  in_texts => array_fill('${TEXT}'::text, '{64}'), in_client_ids => array_fill(NULL::text, '{64}'), in_client_text_hashes => array_fill(NULL::text, '{64}'),
  in_old_states => array_fill('{}'::jsonb, '{64}'), in_new_states => array_fill('{}'::jsonb, '{64}'), in_finished => array_fill(false, '{64}'),
  in_reply_to => ARRAY(SELECT generate_series(1, 64)), in_bots => array_fill(1::bigint, '{64}'), in_replies => array_fill('You said: ${TEXT}'::text, '{64}'),
  in_metadata => array_fill(NULL::json, '{64}'), in_parts => array_fill(NULL::json, '{64}'));`

const NEWEST_50 = `${SOMEBODY}${filled(MESSAGES_PAGE, ':conversation', `${Number.MAX_SAFE_INTEGER}`, ':user', `${PAGE + 1}`)};`

const LIST = `${filled(CONVERSATIONS_PAGE, '1', `${PAGE}`, "'5138-12-31'", `${Number.MAX_SAFE_INTEGER}`, `${PAGE + 1}`)};`
