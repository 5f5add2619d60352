import type { FastifyBaseLogger } from 'fastify'
import { createCoalescer } from '../../db/batch.ts'
import type { Listener } from '../../db/listener.ts'
import { createPoller } from '../../db/poller.ts'
import type { Events } from '../../log/followers.ts'
import { canContinue, decodePlace, encodePlace, type Place } from './cursor.ts'
import type { NewsReady } from './schema.ts'
import type { NewsStore, Pair, Report } from './store.ts'

/** On this channel instances tell each other what was read: pairs of a conversation and a user, one after the other. */
const CHANNEL = 'reads'

/** How many pairs fit into one notification. */
const MAX_READS = 200

/** How often some readers are checked for news, in case a notification was lost. */
const POLL_INTERVAL_MS = 500

/** How many users a poll checks. With very many users it checks more, so that everybody has been checked after MAX_POLLS_PER_ROUND polls. */
const READERS_PER_POLL = 100
const MAX_POLLS_PER_ROUND = 20

/** One piece of news: the JSON of a conversation, or of the id of one that is gone. While a reader catches up there is no cursor. */
export interface NewsItem { event: 'conversation' | 'gone', json: string, cursor?: string }

export interface NewsReader {
  hear: (item: NewsItem) => void
  /** Called when a reader cannot go on from where it is: it has to load its lists anew. */
  reset: (ready: NewsReady) => void
  /** Reads the next part of what was missed, when it is the user's turn. */
  inSlot: <T>(read: () => Promise<T>) => Promise<T>
  /** Resolves when the client has taken most of what was sent. */
  drained: () => Promise<void>
  isOpen: () => boolean
}

/**
 * A reader that has caught up to `place`. `told` has the later versions of conversations that it got already, so that it does not get them
 * twice. `seen` is the snapshot up to which it was told everything.
 */
interface Live extends NewsReader { user: number, place: Place, seen: string, told: Map<number, { version: string, xid: number }> }

export type UserNews = ReturnType<typeof createNews>

/**
 * Tells users what happens in their conversations, on every instance: that one is new, changed, read on another device, or
 * gone. As for followers of a conversation, notifications are only hints, and readers are polled for in turn.
 *
 * All reads of live readers happen one after the other, so that an older state is never told after a newer one.
 */
export function createNews (listener: Pick<Listener, 'publish' | 'subscribe'>, events: Pick<Events, 'watch'>, store: NewsStore, log: Pick<FastifyBaseLogger, 'warn'>) {
  const open = new Map<number, Set<Live>>()
  const changed = new Set<number>()
  const read = new Map<string, Pair>()
  const due = new Set<number>()
  let waiting: number[] = []
  let working: Promise<void> | undefined
  let publishing: Promise<unknown> = Promise.resolve()
  const poller = createPoller(POLL_INTERVAL_MS, poll)

  const publish = createCoalescer(async (pairs: Pair[]) => {
    await listener.publish(CHANNEL, pairs.flatMap(({ conversation, user }) => [conversation, user]))
      .catch(error => log.warn({ err: error }, 'The other instances cannot be notified of what was read; they find out by polling'))
    return pairs.map(() => undefined)
  }, { most: MAX_READS })

  events.watch(conversations => {
    if (open.size === 0) return
    for (const conversation of conversations) if (Number.isSafeInteger(conversation)) changed.add(conversation)
    work()
  })

  listener.subscribe(CHANNEL, ids => {
    for (let at = 0; at < ids.length; at += 2) look({ conversation: ids[at]!, user: ids[at + 1]! })
  })

  function look (pair: Pair) {
    if (!open.has(pair.user) || !Number.isSafeInteger(pair.conversation)) return
    read.set(`${pair.user} ${pair.conversation}`, pair)
    work()
  }

  function work () {
    if (changed.size + read.size + due.size > 0) working ??= workOff()
  }

  async function workOff () {
    while (changed.size + read.size + due.size > 0) {
      await readHints().catch(error => log.warn({ err: error }, 'News cannot be read; trying again soon'))
      await readDue().catch(() => { /* the next poll tries again */ })
    }
    working = undefined
  }

  /** Reads the conversations that notifications named, and tells the readers. Their places stay, because other notifications may have been lost. */
  async function readHints () {
    const pairs = [...read.values()]
    read.clear()
    const conversations = [...changed]
    changed.clear()
    if (conversations.length > 0) pairs.push(...await store.concerned(conversations, [...open.keys()]))
    await tellAll(pairs)
  }

  async function tellAll (pairs: Pair[]) {
    const asked = pairs.filter(({ user }) => open.has(user)).map(pair => ({ ...pair, after: placeOf(pair.user) }))
    for await (const reports of store.reports(asked)) {
      for (const report of reports) for (const live of open.get(report.user) ?? []) tell(live, report)
    }
  }

  function tell ({ place, told, hear }: Live, report: Report) {
    if (report.xid < place.xid || told.get(report.conversation)?.version === report.version) return
    remember(told, report)
    hear({ ...itemOf(report), cursor: encodePlace(place) })
  }

  /** Reads everything that is new for some readers, and moves their places forward. */
  async function readDue () {
    const users = [...due].filter(user => open.has(user))
    due.clear()
    if (users.length === 0) return
    const readers = new Map(users.map(user => [user, [...open.get(user)!]]))
    const { present, snapshot, versions } = await store.versions(users.map(user => ({ user, after: placeOf(user), seen: seenBy(user) })))
    await tellAll(versions.filter(({ user, conversation, version }) => readers.get(user)!.some(({ told }) => told.get(conversation)?.version !== version)))
    for (const live of [...readers.values()].flat()) {
      if (!canContinue(live.place, present)) {
        live.told.clear()
        live.reset({ cursor: encodePlace(present), reset: true })
      }
      live.place = present
      live.seen = snapshot
      for (const [conversation, { xid }] of live.told) if (xid < present.xid) live.told.delete(conversation)
    }
  }

  /** The earliest place of a user's readers: what changed after it is new for at least one of them. */
  function placeOf (user: number) {
    return Math.min(...[...open.get(user)!].map(({ place }) => place.xid))
  }

  /** What all of a user's readers have seen; undefined if one of them began, or was told everything, at another moment than the others. */
  function seenBy (user: number) {
    const [first, ...others] = open.get(user)!
    return others.every(({ seen }) => seen === first!.seen) ? first!.seen : undefined
  }

  async function poll () {
    if (waiting.length === 0) waiting = [...open.keys()]
    for (const user of waiting.splice(0, Math.max(READERS_PER_POLL, Math.ceil(open.size / MAX_POLLS_PER_ROUND)))) due.add(user)
    work()
    await working
    return open.size > 0
  }

  return {
    /**
     * Finds what a user has missed after a cursor. Returns `listen`, which sends that to a reader, and then everything new. `listen`
     * resolves when the reader has caught up, with its new cursor and a function that stops it. Without a cursor, or if the
     * cursor is not valid any more, the news begin at the present.
     */
    async begin (user: number, cursor: string | undefined): Promise<(reader: NewsReader) => Promise<NewsReady & { stop: () => void }>> {
      const from = cursor === undefined ? undefined : decodePlace(cursor)
      const { present, snapshot, versions } = await store.versions([{ user, after: from?.xid }])
      const reset = from === undefined || !canContinue(from, present)
      const missed = reset ? [] : versions.map(version => ({ ...version, after: from.xid }))
      // A reader that begins anew loads its lists after this, and finds these versions there.
      const told = new Map(reset ? versions.map(version => [version.conversation, version]) : [])

      return async function listen (reader) {
        const live: Live = { ...reader, user, place: present, seen: snapshot, told }
        await catchUp(live, missed)
        const readers = open.get(user) ?? new Set()
        if (reader.isOpen()) {
          open.set(user, readers.add(live))
          poller.start()
          // What happened while it caught up.
          due.add(user)
          work()
        }
        return {
          cursor: encodePlace(present),
          reset,
          stop () {
            readers.delete(live)
            if (readers.size === 0 && open.get(user) === readers) open.delete(user)
          }
        }
      }
    },

    /** Call after a commit that moved what a user has read. */
    wasRead (user: number, conversation: number) {
      look({ user, conversation })
      publishing = publish({ user, conversation })
    },

    /** Resolves when the notifications and reads in progress have ended. */
    async settle () {
      await Promise.all([working, publishing])
    }
  }

  async function catchUp ({ told, hear, inSlot, drained, isOpen }: Live, pairs: Array<Pair & { after: number }>) {
    const pieces = store.reports(pairs)
    const next = async () => await inSlot(async () => await pieces.next())
    for (let piece = await next(); !piece.done; piece = await next()) {
      for (const report of piece.value) {
        remember(told, report)
        hear(itemOf(report))
        await drained()
        if (!isOpen()) return
      }
    }
  }
}

function remember (told: Live['told'], { conversation, version, xid }: Report) {
  told.set(conversation, { version, xid })
}

function itemOf ({ conversation, json }: Report): NewsItem {
  return json === null ? { event: 'gone', json: JSON.stringify({ id: conversation }) } : { event: 'conversation', json }
}
