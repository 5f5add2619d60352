/**
 * How far somebody has read their news. Transactions change conversations in one order and commit in another, so a counter
 * or a time would miss what commits late. A place is therefore a transaction id: all transactions with smaller ids had ended
 * when the news were read, and so everything that is not known yet was written by this transaction or a later one.
 * Ids have a meaning in one history of one database only: not after a backup was restored, Postgres crashed, or a replica took over.
 * @see https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
 */
export interface Place { xid: number, history: string, time: Date }

/** How long a place is valid. What is gone is remembered for 30 days, and the daily clean-up may come early. */
const MAX_AGE_MS = 29 * 24 * 60 * 60 * 1000

/** Postgres compares transaction ids of 32 bits in a circle: an older one would count as a newer one. */
const MAX_TRANSACTIONS = 2 ** 31

/** Encodes a place as an opaque cursor. */
export function encodePlace ({ xid, history, time }: Place): string {
  return Buffer.from(`${history} ${xid} ${time.getTime()}`).toString('base64url')
}

/** Undefined for a text that `encodePlace` did not make. */
export function decodePlace (cursor: string): Place | undefined {
  const [, history, xid, time] = /^([\da-f]{8}) (\d{1,15}) (\d{1,15})$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? []
  return history === undefined ? undefined : { history, xid: Number(xid), time: new Date(Number(time)) }
}

/** Whether all news after a place can be found. */
export function canContinue (place: Place, present: Place): boolean {
  const transactions = present.xid - place.xid
  return place.history === present.history && transactions >= 0 && transactions < MAX_TRANSACTIONS &&
    present.time.getTime() - place.time.getTime() < MAX_AGE_MS
}
