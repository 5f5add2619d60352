import { optionsIn, WAYS, type RequestDraft, type Option, type Ways } from './options.ts'
import { meaningOf, type ProviderRefusal } from './refusals.ts'

// Not every provider takes what OpenAI takes. What one refuses is sent in another way, and what worked is remembered
// for the model. Nothing is remembered because of an error alone.

/** For how long a shorter history is kept to: a model may get a larger window. In milliseconds. */
const CONTEXT_KEPT_MS = 60 * 60 * 1000

/** What was learnt of a model: the ways that worked, and how many tokens of prompt and history fitted. */
interface Learnt { ways: Map<Option, number>, context?: { tokens: number, until: number } }

export type Knowledge = ReturnType<typeof createKnowledge>
export type Adaptation = ReturnType<Knowledge['adapt']>

/** What the models of one provider were found to take. */
export function createKnowledge () {
  const learnt = new Map<string, Learnt>()

  return {
    /** How many tokens of prompt and history fitted, after a longer one did not; undefined where none was refused lately. */
    contextOf (model: string): number | undefined {
      const context = learnt.get(model)?.context
      return context !== undefined && context.until > Date.now() ? context.tokens : undefined
    },

    learnContext (model: string, tokens: number) {
      learnt.set(model, { ways: new Map(), ...learnt.get(model), context: { tokens, until: Date.now() + CONTEXT_KEPT_MS } })
    },

    /** How the options of one request are sent, from what was learnt on; each refusal may change it. */
    adapt (draft: RequestDraft) {
      const { model } = draft
      const known: Ways = learnt.get(model)?.ways ?? new Map()
      let ways = new Map(known)
      const tried = new Map<Option, Set<number>>()
      let hasForgotten = false
      let isForOnce = false

      return {
        get ways (): Ways { return ways },

        options: () => optionsIn(draft, ways),

        /** Sends otherwise what was refused. False when there is no other way. */
        change (refusal: ProviderRefusal): boolean {
          const meaning = meaningOf(refusal, optionsIn(draft, ways))
          if (meaning.kind === 'options' && meaning.options.length > 0) return tryNext(meaning.options, refusal)
          if (meaning.kind !== 'value') return isAboutRequest(refusal) && forget()
          // A limit of the answer that is too high is a mistake in the settings; without it the answer might cost a lot.
          isForOnce = true
          const others = meaning.options.filter(option => option !== 'max_tokens')
          return others.length > 0 && tryNext(others, refusal)
        },

        /** The provider has answered: these ways work. */
        worked () {
          if (isForOnce) return
          const unusual = new Map([...ways].filter(([, way]) => way > 0))
          if (unusual.size > 0 || known.size > 0) learnt.set(model, { ...learnt.get(model), ways: unusual })
        }
      }

      /** An option that is refused was sent, so that at least its last way, which leaves it out, has not been tried. */
      function tryNext (options: Option[], refusal: ProviderRefusal): true {
        for (const option of options) {
          const done = tried.get(option) ?? new Set()
          tried.set(option, done.add(ways.get(option) ?? 0))
          // Some servers accept a role that they do not know, and lose what it says. So it is tried only where it is known.
          if (option === 'system' && !/developer|messages\[0\]\.role/.test(`${refusal.text} ${refusal.names.join(' ')}`)) done.add(1)
          ways.set(option, Array.from({ length: WAYS[option] }, (_, way) => way).find(way => !done.has(way))!)
        }
        return true
      }

      /** What was learnt may be why the request is refused: it is sent as if nothing was known, once. */
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
