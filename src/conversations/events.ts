import { AsyncResource } from 'node:async_hooks'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Listener } from '../db/listener.js'
import type { Change, FeedStore, News } from './feed-store.js'

const CHANNEL = 'conversations'

/** How often those who follow look for themselves, in milliseconds: nobody waits longer, also when every word is lost. */
const EVERY = 500

/** A reply that grows: what comes at this place of its text, counted in UTF-16 units. */
export interface Delta { id: number, offset: number, text: string }

/** Somebody who follows a conversation live. */
export interface Follower {
  user: number
  /** The rev of the last change that reached it. */
  after: number
  hear: (change: Change) => void
  /** Left out by who waits for whole messages. */
  grow?: (delta: Delta) => void
  /** Of the replies that are being written how much reached it, in UTF-16 units; kept up by the events. */
  heard?: Map<number, number>
  /** It is not in the conversation any more, and hears nothing more of it. */
  leave: () => void
}

export type Events = ReturnType<typeof createEvents>

/**
 * What happens in conversations, told to whoever follows them, on every instance. An event is only a hint that there
 * is something to read: each feed reads the log after the last change that it delivered, so that nothing overtakes,
 * nothing comes twice, and whatever was missed comes with the next. Who may hear it is asked in the same reading.
 */
export function createEvents (listener: Pick<Listener, 'publish' | 'subscribe'>, feeds: Pick<FeedStore, 'news' | 'stale'>, log: Pick<FastifyBaseLogger, 'warn'>) {
  const followed = new Map<number, Set<Follower>>()
  const unread = new Set<number>()
  const unsaid = new Set<number>()
  let reading: Promise<void> | undefined
  let saying: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  const lookForAll = AsyncResource.bind(lookNowAndThen) // it is no part of the request that happened to begin it

  listener.subscribe(CHANNEL, look)

  /** Reads what is new in these, once for all who follow them here, and what is asked for meanwhile together. */
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
        log.warn({ err: error }, 'what is new in conversations cannot be read; it is tried again')
      }
    }
    reading = undefined
  }

  /** Who follows a conversation at this moment, which somebody does, and what all of them have. */
  function placeOf (conversation: number) {
    const followers = [...followed.get(conversation)!]
    return { conversation, followers, after: Math.min(...followers.map(({ after }) => after)) }
  }

  /** To those who were there before it was read: who came since is in the next reading. */
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
    if (change.status === 'streaming') follower.heard?.set(change.id, change.text.length)
    else follower.heard?.delete(change.id)
    follower.hear(change)
  }

  /** A reply that is being written goes on from where this one is; who does not know it yet gets it as far as it is. */
  function grow (follower: Follower, reply: Change) {
    if (reply.status !== 'streaming' || follower.heard === undefined) return
    const { id, text } = reply
    const offset = follower.heard.get(id)
    if (offset === undefined) return tell(follower, reply)
    if (offset >= text.length) return
    follower.heard.set(id, text.length)
    follower.grow?.({ id, offset, text: text.slice(offset) })
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

  /** Says it to the other instances; what happens while one word is on its way goes into the next, together. */
  async function sayAll () {
    while (unsaid.size > 0) {
      await nextTurn()
      const conversations = [...unsaid]
      unsaid.clear()
      await listener.publish(CHANNEL, conversations).catch(error => log.warn({ err: error }, 'the other instances are not told'))
    }
    saying = undefined
  }

  async function lookNowAndThen () {
    const places = [...followed.keys()].map(placeOf)
    const who = places.flatMap(({ conversation, followers }) => followers.map(({ user }) => ({ conversation, user })))
    look(await feeds.stale(places, who).catch(() => []))
    timer = followed.size === 0 ? undefined : setTimeout(lookForAll, EVERY).unref()
  }

  return {
    /** Something was committed in this conversation, or somebody is not in it any more. */
    changed (conversation: number) {
      look([conversation])
      say(conversation)
    },

    /** A reply that is written here has grown by this piece: whoever follows it here gets at once what he has not. */
    grew ({ conversation, id, text }: { conversation: number, id: number, text: string }, piece: string) {
      for (const { heard, grow } of followed.get(conversation) ?? []) {
        const offset = heard?.get(id)
        if (offset === undefined || offset >= text.length) continue
        heard!.set(id, text.length)
        // To cut it out of the whole would write all of the whole anew each time.
        grow!({ id, offset, text: offset + piece.length === text.length ? piece : text.slice(offset) })
      }
    },

    /** Replies that are written here have been stored as far as they are: who is elsewhere, or has less, reads them. */
    stored (replies: Array<{ conversation: number, id: number, length: number }>) {
      for (const { conversation, id, length } of replies) {
        say(conversation)
        const isBehind = [...followed.get(conversation) ?? []].some(({ heard }) => heard !== undefined && (heard.get(id) ?? 0) < length)
        if (isBehind) look([conversation])
      }
    },

    /** Tells a follower all that changes after `follower.after`, in order, once; gives a function that ends it. */
    follow (conversation: number, follower: Follower) {
      const followers = followed.get(conversation) ?? new Set()
      if (follower.grow !== undefined) follower.heard ??= new Map()
      followed.set(conversation, followers.add(follower))
      look([conversation])
      timer ??= setTimeout(lookForAll, EVERY).unref()
      return () => forget(conversation, follower)
    },

    /** Waits until all is said and read that is under way. */
    async settle () {
      await Promise.all([saying, reading])
    }
  }
}
