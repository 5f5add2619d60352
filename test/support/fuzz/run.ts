import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { createAttempts, targetsOf, type Sent } from './attempt.ts'
import type { Role } from './callers.ts'
import { createDraw, type Draw } from './draw.ts'
import type { Fault } from './judge.ts'
import { createTally } from './tally.ts'
import type { World } from './world.ts'

export interface Options {
  seed: number
  /** How many different requests are sent. */
  count: number
  /** The number of a request that is printed with its answer. */
  at?: number | undefined
  say: (line: string) => void
}

/** A fault: how it was seen first, how often it occurred, and the smallest request that reproduces it. */
export interface Found extends Fault { target: string, number: number, times: number, smallest: string }

/** Each target gets requests from these roles in turn. */
const ROLES: readonly Role[] = ['user', 'admin', 'guest', 'user', 'admin', 'nobody', 'user', 'guest', 'admin', 'server']

const MAINTAIN_EVERY = 25
const MOST_TO_SHRINK = 10
const TRIES_TO_SHRINK = 300
const MS_TO_SHRINK = 20_000

/**
 * Sends generated requests to all routes and socket events, one after the other, and checks each answer. The same seed gives the
 * same requests, as long as the server answers them in the same way.
 */
export async function run (world: World, { seed, count, at, say }: Options) {
  const targets = targetsOf(world)
  const { attempt, close } = createAttempts(world)
  const tally = createTally()
  const seen = new Set<string>()
  const found = new Map<string, Found>()
  const uncaught: unknown[] = []
  const onUncaught = (reason: unknown) => { uncaught.push(reason) }
  process.on('unhandledRejection', onUncaught).on('uncaughtException', onUncaught)
  let next = 0

  try {
    const property = fc.asyncProperty(fc.gen(), async generate => {
      if (tally.sent() < count) await one(createDraw(generate), next++)
    })
    // A request that was sent before is skipped, so more requests are generated than are sent.
    const { failed, errorInstance } = await fc.check(property, { seed, numRuns: count * 3, endOnFailure: true })
    if (failed) throw errorInstance
    await sleep(500) // background work of the last requests may still fail
    note('the end', next, '', unhandled(undefined))
  } finally {
    close()
    process.off('unhandledRejection', onUncaught).off('uncaughtException', onUncaught)
  }
  return { ...tally, found: [...found.values()], targets: new Set(targets.map(({ name }) => name)) }

  async function one (draw: Draw, number: number) {
    if (number % MAINTAIN_EVERY === 0) await world.maintain()
    const sent = await send(draw, number, isNew)
    if (sent === undefined) return
    const { name } = targetOf(number)
    tally.add(name, roleOf(number), sent.isGood)
    if (tally.sent() % 10_000 === 0) say(`${tally.sent()} sent, ${found.size} faults`)
    if (number === at) say(`request ${number}: ${sent.described}\n${sent.answered}`)
    const first = note(name, number, sent.described, sent.fault)
    if (first !== undefined && found.size <= MOST_TO_SHRINK) first.smallest = await shrink(number, first)
  }

  async function send (draw: Draw, number: number, isNew: (described: string) => boolean): Promise<Sent | undefined> {
    const caller = await world.callers.of(roleOf(number), Math.floor(number / targets.length))
    const sent = await attempt(draw, targetOf(number), caller, isNew)
    caller.uses++
    return sent && { ...sent, fault: unhandled(sent.fault) }
  }

  function isNew (described: string) {
    const key = createHash('sha256').update(described).digest('base64')
    if (seen.has(key)) return false
    seen.add(key)
    return true
  }

  /** Records a fault. Returns it if it is the first of its kind. */
  function note (target: string, number: number, described: string, fault: Fault | undefined): Found | undefined {
    if (fault === undefined) return undefined
    const key = fault.origin ?? `${target}: ${fault.kind}`
    const known = found.get(key)
    if (known !== undefined) {
      known.times++
      return undefined
    }
    const first = { ...fault, target, number, times: 1, smallest: described }
    found.set(key, first)
    return first
  }

  /** Adds errors that the server logged since the last request, and uncaught errors. */
  function unhandled (fault: Fault | undefined): Fault | undefined {
    const logged = world.errors.splice(0).filter(({ err }) => err?.code !== 'BOT_FAILED')
    const thrown = uncaught.splice(0).map(reason => String((reason as Error)?.stack ?? reason))
    if (logged.length + thrown.length === 0) return fault
    const said = [...thrown, ...logged.map(({ msg, err }) => `${msg}: ${err?.type} ${err?.message}\n${err?.stack}`)].join('\n')
    const [origin] = /\bsrc\/(?!pg-core|node-postgres)[\w/-]+\.ts:\d+/.exec(said) ?? []
    const kind = fault?.kind ?? (thrown.length > 0 ? 'an uncaught error' : `logged as an error: ${logged[0]!.msg}`)
    return { kind, origin, detail: `${fault?.detail ?? ''}\n${said}` }
  }

  /** Shrinks a request: finds the smallest one with the same fault, within a short time. */
  async function shrink (number: number, { kind, origin, smallest: described }: Found) {
    let smallest = described
    let tries = 0
    const end = Date.now() + MS_TO_SHRINK
    const property = fc.asyncProperty(fc.gen(), async generate => {
      if (tries++ > TRIES_TO_SHRINK || Date.now() > end) return
      const sent = await send(createDraw(generate), number, () => true)
      if (sent?.fault?.kind !== kind || sent.fault.origin !== origin) return
      smallest = sent.described
      throw new Error(kind)
    })
    await fc.check(property, { seed, path: String(number), numRuns: 1 })
    return smallest
  }

  function targetOf (number: number) {
    return targets[number % targets.length]!
  }

  function roleOf (number: number) {
    return ROLES[Math.floor(number / targets.length) % ROLES.length]!
  }
}
