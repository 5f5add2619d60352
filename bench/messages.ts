import { MESSAGES_PAGE } from '../src/conversations/messages/store.ts'
import { CONVERSATIONS_PAGE } from '../src/conversations/store.ts'
import { encodeCursor } from '../src/http/paging.ts'
import { openBench, run, tokenOf, type Filled, type Size } from './database.ts'
import { drive, type Call } from './load.ts'
import { hasPgbench, pgbench, type Length } from './pgbench.ts'
import { inTurns, rowOf, type Contest } from './rounds.ts'
import type { Measure } from './row.ts'

/** The small database has 10,000 messages. The large one has 200,000 conversations with 10,000,000 messages, and one with 1,000,000. */
const FULL = { users: 1_900, conversations: 100, messages: 50, rich: 10_000, longest: 1_000_000 }
const QUICK = { users: 10, conversations: 100, messages: 50, rich: 1_000, longest: 10_000 }
const SMALL: Size = { users: 2, conversations: 100, messages: 50, rich: 0, longest: 0 }

const TEXT = 'What is to be said, and is it much?'
const PAGE = 50

/** The number of clients that request a page of conversations at once, when two pages are compared. */
const AT_ONCE = 4

/** Sending and reading messages: compares HTTP with the bare SQL statements, and a large database with a small one. */
export const measure: Measure = async ({ isQuick }) => {
  const [rounds, seconds] = isQuick ? [1, 2] : [5, 3]
  const length: Length = isQuick ? { each: 20 } : { seconds }
  const bench = await openBench()
  try {
    const small = await bench.fill('small', SMALL)
    const large = await bench.fill('large', isQuick ? QUICK : FULL)
    const canCompare = await hasPgbench()
    const operations = [
      { what: 'newest 50 messages', callsOf: readsOf, script: NEWEST_50, share: 0.6 },
      { what: 'list of conversations', callsOf: listsOf, script: LIST, share: 0.5 },
      { what: 'send a message', callsOf: sendsOf, script: APPEND, share: 1.0 },
      { what: 'guided chat by phone', callsOf: phonesOf, script: APPEND, share: 0.8 }
    ]

    const rows = []
    for (const { what, callsOf, script, share } of operations) {
      const contest: Contest = {
        small: () => drive(small.url, callsOf(small), seconds),
        ...canCompare && { yardstick: () => pgbench(small.connection, script, length) },
        large: () => drive(large.url, callsOf(large), seconds)
      }
      const { small: measured, large: scaled, yardstick = [] } = await inTurns(contest, rounds)
      rows.push(rowOf(what, measured!, yardstick, { share }))
      rows.push(rowOf(`${what}, ${millions(large.size)} messages`, scaled!, measured!, { cost: 1.2 }))
    }

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
    await bench.close()
  }
}

const millions = ({ users, conversations, messages, rich, longest }: Size) =>
  ((users * conversations + rich) * messages + longest).toLocaleString('en')

/** As many conversations as the small database has, from all parts of the large one, and the longest conversation. */
function placesOf ({ size: { users, conversations, rich, longest } }: Filled) {
  const most = users * conversations
  const places = Array.from({ length: SMALL.users * SMALL.conversations }, (_, n) => Math.floor(n * most / (SMALL.users * SMALL.conversations)) + 1)
    .map(conversation => ({ conversation, user: Math.ceil(conversation / conversations) }))
  return longest === 0 ? places : [...places.slice(1), { conversation: most + rich + 1, user: 1 }]
}

const messagesOf = (conversation: number) => `/api/conversations/${conversation}/messages`

function readsOf (filled: Filled): Call[] {
  return placesOf(filled).map(({ conversation, user }) => ({ method: 'GET', path: messagesOf(conversation), token: tokenOf(user) }))
}

function sendsOf (filled: Filled): Call[] {
  return placesOf(filled).map(({ conversation, user }) => ({ method: 'POST', path: messagesOf(conversation), token: tokenOf(user), body: { text: TEXT } }))
}

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

const SOMEBODY = `\\set conversation random(1, ${SMALL.users * SMALL.conversations})
\\set user (:conversation - 1) / ${SMALL.conversations} + 1
`

/** The SQL behind `append` for a single message: the statement that stores it with its reply when no batch is formed. */
const APPEND = `${SOMEBODY}SELECT :conversation::bigint AS conversation, id, created_at, statuses
  FROM append_message(:conversation, :user, '${TEXT}', NULL, NULL, '{1}', '{"You said: ${TEXT}"}', '{}', '{}', false, NULL);`

const NEWEST_50 = `${SOMEBODY}${filled(MESSAGES_PAGE, ':conversation', `${Number.MAX_SAFE_INTEGER}`, ':user', `${PAGE + 1}`)};`

const LIST = `${filled(CONVERSATIONS_PAGE, '1', `${PAGE}`, "'5138-12-31'", `${Number.MAX_SAFE_INTEGER}`, `${PAGE + 1}`)};`
