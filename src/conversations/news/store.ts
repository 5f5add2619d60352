import { jsonTime, type Db } from '../../db/client.ts'
import { CONVERSATION_NOT_FOUND } from '../../errors.ts'
import { cutUnread } from '../../http/paging.ts'
import { IS_MEMBER } from '../../log/membership.ts'
import { MESSAGE_BYTES, MESSAGE_JSON, WITH_NAMES } from '../../log/message.ts'
import type { Place } from './cursor.ts'
import { UNREAD } from './unread.ts'

export type NewsStore = ReturnType<typeof createNewsStore>

/** A user and a conversation that they are in, or were in. */
export interface Pair { user: number, conversation: number }

/**
 * A version of a conversation as one user sees it, and the id of the transaction that wrote it. Two versions of the same
 * conversation and user are the same if nothing was written between them.
 */
export interface Version extends Pair { version: string, xid: number }

/** A user's news of one conversation: its JSON, or null when the user is not in it any more. */
export interface Report extends Version { json: string | null }

/** How much is read at once, so that a slow reader can keep up. */
const AT_ONCE = { reports: 64, bytes: 256 * 1024 }

/**
 * Reads what changed in somebody's conversations. A message writes no rows for this. A change of a conversation shows in the
 * id of the transaction that wrote its row last (`xmin`), and what the user has read in that of the user's row in
 * `conversation_users`.
 */
export function createNewsStore (db: Db) {
  return {
    /**
     * The present place, and the conversations that have changed for each user after the place `after`, or else after the present one,
     * without their content. With `seen`, the snapshot that an earlier call has returned, those are left out that the earlier call found.
     */
    async versions (readers: Array<{ user: number, after: number | undefined, seen?: string | undefined }>): Promise<{ present: Place, snapshot: string, versions: Version[] }> {
      const { rows } = await db.$client.query<{ present: number, snapshot: string, history: string, time: Date } & (Version | { user: null })>({
        name: 'news_versions', text: VERSIONS, values: [readers.map(({ user }) => user), readers.map(({ after }) => after), readers.map(({ seen }) => seen)]
      })
      const { present, snapshot, history, time } = rows[0]!
      const versions = rows.flatMap(row => row.user === null ? [] : [{ user: row.user, conversation: row.conversation, version: row.version, xid: row.xid }])
      return { present: { xid: present, history, time }, snapshot, versions }
    },

    /** Those of these users who are, or were, in these conversations. */
    async concerned (conversations: number[], users: number[]): Promise<Pair[]> {
      const { rows } = await db.$client.query<Pair>({ name: 'news_concerned', text: CONCERNED, values: [conversations, users] })
      return rows
    },

    /** The present content of these conversations, in pieces. One that has not changed after the user's place is left out. */
    async * reports (pairs: Array<Pair & { after: number }>): AsyncGenerator<Report[]> {
      for (let left = pairs; left.length > 0;) {
        const some = left.slice(0, AT_ONCE.reports)
        const { rows } = await db.$client.query<Report & { place: number, more: boolean }>({
          name: 'news_reports', text: REPORTS, values: [some.map(({ user }) => user), some.map(({ conversation }) => conversation), some.map(({ after }) => after)]
        })
        yield rows
        const last = rows.at(-1)
        left = left.slice(last?.more ? last.place : some.length)
      }
    },

    /** Moves what the user has read forward, never back. Gives whether it moved. @throws CONVERSATION_NOT_FOUND */
    async read (user: number, conversation: number, rev: number): Promise<boolean> {
      const { rows: [found] } = await db.$client.query<{ moved: boolean }>({ name: 'mark_read', text: READ, values: [user, conversation, rev] })
      if (found === undefined) throw new CONVERSATION_NOT_FOUND()
      return found.moved
    }
  }
}

/**
 * Names the history that transaction ids belong to: this cluster, its timeline, its last crash, and these tables. After a crash Postgres uses
 * the ids again of transactions that were not on the disk yet. It also begins all its statistics anew then.
 */
const HISTORY = `left(md5(concat_ws(' ',
  (SELECT system_identifier FROM pg_control_system()), left(pg_walfile_name(pg_current_wal_lsn()), 8), extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time()), 'conversations'::regclass::oid
)), 8)`

/** How many transactions ago. A row that was not written for 2^31 transactions has a negative age. */
const AGE = (xid: string) => `CASE WHEN age(${xid}) < 0 THEN 2147483647 ELSE age(${xid}) END`

/** The number of a transaction as an `xid`, which has 32 bits. */
const XID = (number: string) => `(${number} % 4294967296)::text::xid`

const IN_PRESENT = `
  WITH present AS MATERIALIZED (
    SELECT xid AS present, age(${XID('xid')}) AS present_age, snapshot, ${HISTORY} AS history, clock_timestamp()::timestamptz(3) AS time
    FROM (SELECT pg_current_snapshot() AS snapshot) now, LATERAL (SELECT pg_snapshot_xmin(snapshot)::text::bigint AS xid) oldest
  )`

/** The transactions that were running when a snapshot was taken. */
const RUNNING_IN = (snapshot: string) => `SELECT pg_snapshot_xip(${snapshot})::text::bigint AS xid`

/**
 * The first transaction whose changes may be visible now, but were not in the snapshot `seen`: the oldest one that was running then and
 * has ended since, or else the next one. A subtransaction, of which snapshots do not tell, has a higher id than its transaction. A
 * transaction that goes on running for hours, perhaps in another database, does not move this back, as it does move the place.
 */
const FIRST_UNSEEN = (seen: string, present: string) => `
  SELECT coalesce(min(ended.xid), pg_snapshot_xmax(${seen})::text::bigint) AS first
  FROM (${RUNNING_IN(seen)} EXCEPT ${RUNNING_IN(present)}) ended`

const IS_GONE = (gone: string) => `NOT ${IS_MEMBER(`${gone}.conversation_id`, `${gone}.user_id`)}`

const VERSIONS = `${IN_PRESENT}
  SELECT present.present, present.snapshot, present.history, present.time, found.*
  FROM present LEFT JOIN LATERAL (
    SELECT reader.user_id AS "user", one.conversation, one.version, present.present + present.present_age - one.age AS xid
    FROM unnest($1::bigint[], $2::bigint[], $3::pg_snapshot[]) AS reader (user_id, after, seen)
    CROSS JOIN LATERAL (${FIRST_UNSEEN('reader.seen', 'present.snapshot')}) unseen
    CROSS JOIN LATERAL (
      SELECT c.id AS conversation, c.xmin || ' ' || member.xmin AS version, least(${AGE('c.xmin')}, ${AGE('member.xmin')}) AS age
      FROM conversation_users member JOIN conversations c ON c.id = member.conversation_id
      WHERE member.user_id = reader.user_id
      UNION ALL
      SELECT gone.conversation_id, 'gone ' || gone.xmin, ${AGE('gone.xmin')}
      FROM gone_conversations gone
      WHERE gone.user_id = reader.user_id AND ${IS_GONE('gone')}
    ) one
    WHERE one.age <= present.present_age + present.present - coalesce(unseen.first, reader.after, present.present)
  ) found ON true`

const CONCERNED = `
  SELECT user_id AS "user", conversation_id AS conversation FROM conversation_users WHERE conversation_id = ANY($1) AND user_id = ANY($2)
  UNION ALL
  SELECT user_id, conversation_id FROM gone_conversations gone WHERE conversation_id = ANY($1) AND user_id = ANY($2) AND ${IS_GONE('gone')}`

/** The conversations `asked` for, which are long if their newest messages are. */
const ASKED = `
  SELECT asked.place, asked.user_id, asked.conversation, coalesce(c.xmin || ' ' || member.xmin, 'gone ' || gone.xmin) AS version,
    least(${AGE('c.xmin')}, ${AGE('member.xmin')}, ${AGE('gone.xmin')}) AS age,
    c.id, c.name, c.is_finished, c.last_updated, c.last_rev, c.owner_id, c.client_id, c.metadata, member.read_rev, newest.message, coalesce(newest.bytes, 0) AS bytes
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS asked (user_id, conversation, after, place)
  LEFT JOIN conversation_users member ON member.conversation_id = asked.conversation AND member.user_id = asked.user_id
  LEFT JOIN conversations c ON c.id = member.conversation_id
  LEFT JOIN gone_conversations gone ON c.id IS NULL AND gone.conversation_id = asked.conversation AND gone.user_id = asked.user_id
  LEFT JOIN LATERAL (
    SELECT m.id AS message, ${MESSAGE_BYTES} AS bytes FROM messages m
    WHERE m.conversation_id = c.id AND m.status <> 'deleted'
    ORDER BY m.id DESC LIMIT 1
  ) newest ON true
  WHERE least(${AGE('c.xmin')}, ${AGE('member.xmin')}, ${AGE('gone.xmin')}) <= age(${XID('asked.after')})`

const REPORTS = `${IN_PRESENT}
  SELECT c.place, c.more, c.user_id AS "user", c.conversation, c.version, present.present + present.present_age - c.age AS xid, (
    '{"id":' || c.id || ',"name":' || to_json(c.name) || ',"is_finished":' || c.is_finished || ',"last_updated":"' || ${jsonTime('c.last_updated')} || '","last_rev":' || c.last_rev ||
    ',"read_rev":' || c.read_rev || ',"unread":' || ${UNREAD({ conversation: 'c.id', user: 'c.user_id', readRev: 'c.read_rev' })} ||
    ',"members":' || (SELECT count(*) FROM conversation_users member WHERE member.conversation_id = c.id) ||
    CASE WHEN c.client_id IS NOT NULL AND c.owner_id = c.user_id THEN ',"client_id":' || to_json(c.client_id) ELSE '' END ||
    CASE WHEN c.metadata IS NOT NULL THEN ',"metadata":' || c.metadata ELSE '' END ||
    ',"newest":' || coalesce(${MESSAGE_JSON}, 'null') || '}'
  ) AS json
  FROM present, (${cutUnread({ rows: ASKED, order: 'place', bytes: 'bytes', most: `${AT_ONCE.reports + 1}`, limit: AT_ONCE.bytes })}) c
  LEFT JOIN messages m ON m.conversation_id = c.id AND m.id = c.message ${WITH_NAMES}
  ORDER BY c.place`

const READ = `
  WITH mine AS (
    SELECT least($3, c.last_rev) AS rev FROM conversations c WHERE c.id = $2 AND ${IS_MEMBER('c.id', '$1')}
  ), moved AS (
    UPDATE conversation_users member SET read_rev = mine.rev FROM mine
    WHERE member.user_id = $1 AND member.conversation_id = $2 AND member.read_rev < mine.rev
    RETURNING member.user_id
  )
  SELECT EXISTS (SELECT FROM moved) AS moved FROM mine`
