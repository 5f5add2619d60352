import { optionsIn, WAYS, type RequestDraft, type Option, type Ways } from './options.ts'
import { meaningOf, type Meaning, type ProviderRefusal } from './refusals.ts'

// Not every provider supports every option of OpenAI's API. When one refuses an option, we send it in another way or leave
// it out. Only what then worked is remembered for the model: an error alone may have another cause.

/** How long we keep to a shorter history, in milliseconds. Later the model may have a larger context window. */
const CONTEXT_KEPT_MS = 60 * 60 * 1000

/** In tokens: every model has a context window of at least this size. */
const SMALLEST_CONTEXT = 512

/** What is known of a model: how to send each option, how many tokens of prompt and history fit, and the longest history that it accepted. */
interface Learnt { ways: Map<Option, number>, context?: { tokens: number, until: number }, accepted?: number }

export type Knowledge = ReturnType<typeof createKnowledge>
export type Adaptation = ReturnType<Knowledge['adapt']>

/** Remembers what each model of one provider accepts. */
export function createKnowledge () {
  const learnt = new Map<string, Learnt>()

  return {
    /** How many tokens of prompt and history fit; undefined unless a longer history was refused within the last hour. */
    contextOf (model: string): number | undefined {
      const context = learnt.get(model)?.context
      return context !== undefined && context.until > Date.now() ? context.tokens : undefined
    },

    learnContext (model: string, tokens: number) {
      learnt.set(model, { ways: new Map(), ...learnt.get(model), context: { tokens, until: Date.now() + CONTEXT_KEPT_MS }, accepted: 0 })
    },

    /** Whether the context window is known to hold this many tokens, so that a refusal must have another cause. */
    fits: (model: string, tokens: number): boolean => tokens <= Math.max(SMALLEST_CONTEXT, learnt.get(model)?.accepted ?? 0),

    /** Call it when the model has accepted a history of this many tokens. */
    accepted (model: string, tokens: number) {
      const known: Learnt = learnt.get(model) ?? { ways: new Map() }
      learnt.set(model, { ...known, accepted: Math.max(tokens, known.accepted ?? 0) })
    },

    /** Decides how the options of one request are sent. It starts with what is known of the model; each refusal may change it. */
    adapt (draft: RequestDraft) {
      const { model } = draft
      const known: Ways = learnt.get(model)?.ways ?? new Map()
      let ways = new Map(known)
      const tried = new Map<Option, Set<number>>()
      let hasForgotten = false
      let isForOnce = false

      return {
        get ways (): Ways { return ways },

        meaningOf: classify,

        /** Chooses another way to send what was refused. False when there is none. */
        change (refusal: ProviderRefusal): boolean {
          const meaning = classify(refusal)
          if (meaning.kind === 'options' && meaning.options.length > 0) return tryNext(meaning.options, refusal)
          if (meaning.kind !== 'value') return isAboutRequest(refusal) && forget()
          // If the limit on the answer's length is too high, the settings are wrong. Do not drop it: an answer without a
          // limit might cost a lot.
          isForOnce = true
          const others = meaning.options.filter(option => option !== 'max_tokens')
          return others.length > 0 && tryNext(others, refusal)
        },

        /** Call it when the provider has answered: remembers these ways. */
        worked () {
          if (isForOnce) return
          const unusual = new Map([...ways].filter(([, way]) => way > 0))
          if (unusual.size > 0 || known.size > 0) learnt.set(model, { ...learnt.get(model), ways: unusual })
        }
      }

      function classify (refusal: ProviderRefusal): Meaning {
        return meaningOf(refusal, optionsIn(draft, ways), draft.maxTokens)
      }

      /** There always is a next way: a refused option was sent, so its last way, which leaves it out, has not been tried. */
      function tryNext (options: Option[], refusal: ProviderRefusal): true {
        for (const option of options) {
          const done = tried.get(option) ?? new Set()
          tried.set(option, done.add(ways.get(option) ?? 0))
          // The other way to send the system prompt is the role `developer`. Some servers accept an unknown role and then
          // ignore its message, so we try it only if the refusal mentions that role.
          if (option === 'system' && !/developer|messages\[0\]\.role/.test(`${refusal.text} ${refusal.names.join(' ')}`)) done.add(1)
          ways.set(option, Array.from({ length: WAYS[option] }, (_, way) => way).find(way => !done.has(way))!)
        }
        return true
      }

      /** Sends the request once more as if nothing was known: what we remembered may be outdated and cause the refusal. */
      function forget (): boolean {
        if (hasForgotten || known.size === 0) return false
        hasForgotten = true
        ways = new Map()
        tried.clear()
        return true
      }
    }
  }
}

const isAboutRequest = ({ status }: ProviderRefusal) => [0, 400, 404, 405, 415, 422, 500, 501].includes(status)
