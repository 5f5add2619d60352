import { setImmediate as nextTurn } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Listener } from '../db/listener.ts'
import { createPoller } from '../db/poller.ts'
import { growingPartsOf, type GrowingPart } from '../text/message-parts.ts'
import { lengthsOf, type Change, type FeedStore, type Heard, type News } from './feed-store.ts'

const CHANNEL = 'conversations'

/** How often followed conversations are checked for changes, in case a notification was lost. */
const POLL_INTERVAL_MS = 500

/**
 * A piece of a growing reply: of the part at the index `part`, left out for 0, at this `offset` in UTF-16 units. `type` is
 * that of the part, left out for a text. A reply without parts is one text.
 */
export interface Delta { id: number, part?: number, type?: GrowingPart['type'], offset: number, text: string }

/** A part of a reply that has grown by `piece`, with all of its text. `before` is the length of the part before it, in UTF-16 units. */
export interface Grown extends GrowingPart { part: number, piece: string, before: number }

/** Somebody who follows a conversation live. */
export interface Follower {
  user: number
  /** The rev of the last change that reached it. */
  after: number
  hear: (change: Change) => void
  /** Left out by a follower that takes whole messages only. */
  grow?: (delta: Delta) => void
  /** How much of each reply in progress has reached the follower. Updated here. */
  heard?: Heard
  /** Called when the follower is no longer a member. It gets nothing more of the conversation. */
  leave: () => void
}

export type Events = ReturnType<typeof createEvents>

/**
 * Delivers what changes in conversations to their followers, on every instance. An event is only a hint that there is
 * something to read: each follower is given what the log has after the last change that was delivered to it. So changes
 * arrive in order and once, and a lost event is made good by the next one. The same query checks membership.
 */
export function createEvents (listener: Pick<Listener, 'publish' | 'subscribe'>, feeds: Pick<FeedStore, 'news' | 'stale'>, log: Pick<FastifyBaseLogger, 'warn'>) {
  const followed = new Map<number, Set<Follower>>()
  const unread = new Set<number>()
  const unsaid = new Set<number>()
  const watchers: Array<(conversations: number[]) => void> = []
  let reading: Promise<void> | undefined
  let saying: Promise<void> | undefined
  const poller = createPoller(POLL_INTERVAL_MS, lookForAll)

  listener.subscribe(CHANNEL, notice)

  function notice (conversations: number[]) {
    look(conversations)
    for (const hear of watchers) hear(conversations)
  }

  /** Reads what is new in these conversations, once for all their followers. Calls during a read are combined into the next. */
  function look (conversations: number[]) {
    for (const conversation of conversations) if (followed.has(conversation)) unread.add(conversation)
    if (unread.size > 0) reading ??= readAll()
  }

  async function readAll () {
    while (unread.size > 0) {
      const places = [...unread].filter(conversation => followed.has(conversation)).map(placeOf)
      unread.clear()
      try {
        const news = new Map((await feeds.news(places)).map(one => [one.conversation, one]))
        for (const { conversation, followers } of places) deliver(conversation, followers, news.get(conversation))
      } catch (error) {
        log.warn({ err: error }, 'New messages cannot be read; trying again soon')
      }
    }
    reading = undefined
  }

  /** The current followers of a followed conversation, and the rev that all of them have. */
  function placeOf (conversation: number) {
    const followers = [...followed.get(conversation)!]
    return { conversation, followers, after: Math.min(...followers.map(({ after }) => after)) }
  }

  /** Delivers to those who followed before the read. Later ones are in the next read. */
  function deliver (conversation: number, followers: Follower[], news: News | undefined) {
    for (const follower of followers) {
      if (!followed.get(conversation)?.has(follower)) continue
      if (!news?.members.has(follower.user)) {
        forget(conversation, follower)
        follower.leave()
        continue
      }
      for (const change of news.changes) {
        if (change.rev <= follower.after) grow(follower, change)
        else tell(follower, change)
      }
      for (const reply of news.streaming) grow(follower, reply)
    }
    if (news?.more) look([conversation])
  }

  function tell (follower: Follower, change: Change) {
    follower.after = Math.max(follower.after, change.rev)
    if (change.status === 'streaming') follower.heard?.set(change.id, lengthsOf(change))
    else follower.heard?.delete(change.id)
    follower.hear(change)
  }

  /** Continues a growing reply from where the follower is. A follower that does not have it yet gets all of it so far. */
  function grow (follower: Follower, reply: Change) {
    if (reply.status !== 'streaming' || follower.heard === undefined) return
    const { id } = reply
    const lengths = follower.heard.get(id)
    if (lengths === undefined) return tell(follower, reply)
    for (const [part, { type, text }] of growingPartsOf(reply).entries()) {
      const offset = lengths[part] ?? 0
      if (offset >= text.length) continue
      lengths[part] = text.length
      follower.grow?.(deltaOf(id, part, type, offset, text.slice(offset)))
    }
  }

  function forget (conversation: number, follower: Follower) {
    const followers = followed.get(conversation)
    followers?.delete(follower)
    if (followers?.size === 0) followed.delete(conversation)
  }

  function say (conversation: number) {
    unsaid.add(conversation)
    saying ??= sayAll()
  }

  /** Notifies the other instances. Changes during one notification are combined into the next. */
  async function sayAll () {
    while (unsaid.size > 0) {
      await nextTurn()
      const conversations = [...unsaid]
      unsaid.clear()
      await listener.publish(CHANNEL, conversations).catch(error => log.warn({ err: error }, 'The other instances cannot be notified; they find out by polling'))
    }
    saying = undefined
  }

  async function lookForAll () {
    const places = [...followed.keys()].map(placeOf)
    const who = places.flatMap(({ conversation, followers }) => followers.map(({ user }) => ({ conversation, user })))
    look(await feeds.stale(places, who).catch(() => []))
    return followed.size > 0
  }

  return {
    /** Call after a commit that changed this conversation: its messages, its members or its name. */
    changed (conversation: number) {
      notice([conversation])
      say(conversation)
    },

    /** Calls `hear` with conversations that may have changed, here or on another instance. */
    watch (hear: (conversations: number[]) => void) {
      watchers.push(hear)
    },

    /** A reply that this instance writes has grown. Local followers get at once what they lack, unless they also lack something of the parts before this one. */
    grew ({ conversation, id }: { conversation: number, id: number }, { part, type, text, piece, before }: Grown) {
      for (const { heard, grow } of followed.get(conversation) ?? []) {
        const lengths = heard?.get(id)
        if (lengths === undefined || (lengths[part - 1] ?? 0) < before) continue
        const offset = lengths[part] ?? 0
        if (offset >= text.length) continue
        lengths[part] = text.length
        // Usually the piece is all that is missing. Slicing the whole text would flatten it in memory each time.
        grow!(deltaOf(id, part, type, offset, offset + piece.length === text.length ? piece : text.slice(offset)))
      }
    },

    /** Replies that this instance writes have been stored up to these lengths of their parts. Followers elsewhere, and those behind, read them. */
    stored (replies: Array<{ conversation: number, id: number, lengths: number[] }>) {
      for (const { conversation, id, lengths } of replies) {
        say(conversation)
        const isBehind = [...followed.get(conversation) ?? []].some(({ heard }) => heard !== undefined && lengths.some((length, part) => (heard.get(id)?.[part] ?? 0) < length))
        if (isBehind) look([conversation])
      }
    },

    /** Delivers all changes after `follower.after`, in order, each once. Returns a function that unfollows. */
    follow (conversation: number, follower: Follower) {
      const followers = followed.get(conversation) ?? new Set()
      if (follower.grow !== undefined) follower.heard ??= new Map()
      followed.set(conversation, followers.add(follower))
      look([conversation])
      poller.start()
      return () => forget(conversation, follower)
    },

    /** Resolves when the notifications and reads in progress have ended. */
    async settle () {
      await Promise.all([saying, reading])
    }
  }
}

function deltaOf (id: number, part: number, type: GrowingPart['type'], offset: number, text: string): Delta {
  return { id, ...part > 0 && { part }, ...type === 'reasoning' && { type }, offset, text }
}
