import type { Config } from '../config.ts'
import { createKnowledge, type Adaptation } from './adaptation.ts'
import { failure, type Estimate, type ReplyPiece, type StreamingBot, type Turn } from './bot.ts'
import type { Call } from './provider-call.ts'
import { fit, linesOf, type History, type Line } from './history.ts'
import { bodyOf, type RequestDraft } from './options.ts'
import { createProvider, isRequestRefused, type RequestRefused } from './provider.ts'
import { createRefusedTurns } from './refused-turns.ts'
import type { OpenAiSettings } from './settings.ts'
import { createTokenCounter, roughTokensIn } from './token-counter.ts'

export type OpenAiConfig = Pick<Config, 'OPENAI_API_KEY' | 'OPENAI_BASE_URL' | 'OPENAI_MODEL' | 'BOT_TIMEOUT_CONNECT'>

/** The most requests for one reply. Several may be needed: to send an option in another way, to halve the history, to find a refused turn. */
const MAX_ATTEMPTS = 32

/** Statuses of refusals that may be caused by the content or the length of the messages. */
const MAY_BE_HISTORY = [400, 422, 424, 431, 446, 451]

/** Language models behind OpenAI's chat completions API, or a compatible one. */
export function createOpenAi (config: OpenAiConfig, call: Call) {
  const { OPENAI_API_KEY: key, OPENAI_BASE_URL: address, OPENAI_MODEL: defaultModel } = config
  if (key === undefined) return { close: async () => { /* nothing was opened */ }, createBot: () => notConfigured }

  const provider = createProvider({ address, key, connectTimeoutMs: config.BOT_TIMEOUT_CONNECT * 1000 })
  const counter = import('gpt-tokenizer/encoding/o200k_base').then(({ countTokens }) => createTokenCounter(countTokens)) // takes 66 MB of memory, so it is loaded only if a key is set
  const knowledge = createKnowledge()

  return {
    close: provider.close,

    createBot ({ prompt, history_tokens: budget = 8000, model = defaultModel, temperature, max_tokens: maxTokens }: OpenAiSettings, name: string): StreamingBot {
      return async function reply (turns, signal, context) {
        const draft: RequestDraft = { model, prompt: joined(prompt, context?.instructions), temperature, maxTokens, user: context?.providerUser }
        const request = await createRequest(draft, turns, budget, name)
        const begins = () => { context?.begins?.(request.estimate()) }
        return call(address, signal => ask(request, begins, signal), signal, context?.user?.id)
      }
    }
  }

  /** Sends the request, changed after each refusal, until the provider accepts it or there is nothing left to change. */
  async function ask (request: Request, begins: () => void, signal: AbortSignal, attempts = MAX_ATTEMPTS): Promise<AsyncIterable<ReplyPiece>> {
    const begun: ReplyPiece[] = []
    try {
      const { isTrial } = request
      const pieces = await provider.complete({ body: request.body(), model: request.model, begins: isTrial ? ignore : begins }, signal)
      await readBeginning(pieces, begun)
      request.worked()
      if (!isTrial) return request.finished(begun, pieces)
      await pieces.return()
      await request.accept()
    } catch (error) {
      try {
        if (!isRequestRefused(error) || attempts === 1 || !await request.change(error)) throw error
      } catch (error) {
        if (begun.length === 0) throw error
        return request.finished(begun, failing(error)) // the reported cost counts, too
      }
      request.spend(begun)
    }
    return await ask(request, begins, signal, attempts - 1)
  }

  /** A request that is changed after each refusal: its options, and how much of the history it contains. */
  async function createRequest (draft: RequestDraft, turns: Turn[], budget: number, name: string) {
    const tokens = await counter
    const { model, prompt = '' } = draft
    const adaptation: Adaptation = knowledge.adapt(draft)
    const known = knowledge.contextOf(model)
    const aside = known === undefined ? 0 : await tokens.inText(prompt)
    let most = Math.min(budget, Math.max(1, (known ?? Infinity) - aside))
    let history: History = await fit(turns, most, name, tokens)
    let { lines } = history
    let fitting: number | undefined
    const refusedTurns = createRefusedTurns(name)
    /** The tokens of trial requests, which only search for refused turns, and of refused requests for which the provider reported a cost. */
    let trialTokens = 0
    /** How often the history was made shorter after a refusal without a known reason. */
    let shortened = 0
    if (lines.length === 0) throw failure('BOT_NONSENSE', new Error('There is no message to answer'))

    return {
      model,
      get isTrial () { return refusedTurns.isTrial },
      body: () => bodyOf(draft, lines, adaptation.ways),

      /** Tokens are counted after the reply has ended, and only if the provider reported none, so that counting does not delay the first token. */
      estimate (): Estimate {
        const texts = textsIn(lines)
        return {
          model,
          roughPromptTokens: texts.reduce((sum, text) => sum + roughTokensIn(text), trialTokens),
          count: async text => ({ promptTokens: trialTokens + await tokens.inMessages(texts), completionTokens: await tokens.inText(text) })
        }
      },

      worked () {
        adaptation.worked()
        if (fitting !== undefined) knowledge.learnContext(model, fitting)
        else if (!refusedTurns.isTrial) knowledge.accepted(model, history.tokens)
      },

      /** Call it when a trial request was accepted, which had only a part of the history. */
      async accept () {
        trialTokens += await tokens.inMessages(textsIn(lines))
        refusedTurns.accept()
        await choose()
      },

      /** Adds the cost that the provider reported for a request before it refused it. */
      spend (begun: ReplyPiece[]) {
        let spent = 0
        for (const piece of begun) if ('usage' in piece && piece.usage !== undefined) spent = piece.usage.promptTokens + piece.usage.completionTokens
        trialTokens += spent
      },

      /** The pieces of the answer, together with the turns that were found to be refused and the cost of finding them. */
      finished (begun: ReplyPiece[], rest: AsyncGenerator<ReplyPiece, void>): AsyncIterable<ReplyPiece> {
        const refused = [...refusedTurns.found]
        return trialTokens === 0 ? resumed(begun, rest) : withTrials({ refused, promptTokens: trialTokens }, resumed(begun, rest))
      },

      /** Changes the request after a refusal. False when there is nothing left to change. @throws MESSAGE_REFUSED, BOT_CONTEXT_FULL when even the last message alone is refused */
      async change (error: RequestRefused): Promise<boolean> {
        const { kind } = adaptation.meaningOf(error.refusal)
        if (kind === 'content') {
          if (!refusedTurns.refuse(history)) throw failure('MESSAGE_REFUSED', error.cause)
          await choose()
          return true
        }
        if (kind !== 'context') return adaptation.change(error.refusal) || (kind === 'other' && await shorten(error))
        if (!history.isLonger) throw failure('BOT_CONTEXT_FULL', error.cause)
        most = Math.max(1, Math.floor(history.tokens / 2))
        refusedTurns.reset()
        await choose()
        fitting = await tokens.inText(prompt) + most
        return true
      }
    }

    /**
     * Makes the history shorter after a refusal without a known reason, which may be a full context window or a turn that a filter
     * refuses. Without this, every later message of the conversation would be refused too. Tries half of the history, then the
     * last question alone. Half is not remembered if the whole should have fitted: a turn of one conversation must not make the
     * histories of all others shorter.
     */
    async function shorten ({ refusal }: RequestRefused) {
      if (!MAY_BE_HISTORY.includes(refusal.status) || !history.isLonger || shortened === 2) return false
      const promptTokens = await tokens.inText(prompt)
      const isTooLong = !knowledge.fits(model, promptTokens + history.tokens)
      most = ++shortened === 1 ? Math.max(1, Math.floor(history.tokens / 2)) : 1
      await choose()
      fitting = shortened === 1 && isTooLong ? promptTokens + most : undefined
      return true
    }

    /** Chooses the turns of the next request: all but the refused ones, or for a trial only some of them. */
    async function choose () {
      const { part, found } = refusedTurns
      if (part === undefined) history = await fit(turns.filter(turn => !found.includes(turn)), most, name, tokens)
      lines = part === undefined ? history.lines : linesOf(history.turns.filter(turn => part.has(turn)), name, history.isGroup)
    }

    function textsIn (lines: Line[]) {
      return [...prompt === '' ? [] : [prompt], ...lines.map(({ content }) => content)]
    }
  }

  type Request = Awaited<ReturnType<typeof createRequest>>
}

/** The pieces of an answer that needed trial requests: adds the turns that these found to be refused, and the estimated cost of the trials. */
async function * withTrials ({ refused, promptTokens }: { refused: Turn[], promptTokens: number }, pieces: AsyncIterable<ReplyPiece>): AsyncGenerator<ReplyPiece, void> {
  yield { refused }
  for await (const piece of pieces) {
    const usage = 'usage' in piece ? piece.usage : undefined
    yield usage === undefined ? piece : { ...piece, usage: { ...usage, promptTokens: usage.promptTokens + promptTokens, isEstimate: true } }
  }
}

function ignore () {}

/** The bot's own prompt, followed by the client's instructions. */
function joined (prompt: string | undefined, instructions: string | undefined) {
  return prompt === undefined || instructions === undefined ? prompt ?? instructions : `${prompt}\n\n${instructions}`
}

/**
 * Reads an answer up to its first text or reasoning, and appends the pieces to `begun`. Some providers report a usage with every event,
 * so that a refusal may follow after the first one.
 */
async function readBeginning (pieces: AsyncGenerator<ReplyPiece, void>, begun: ReplyPiece[]) {
  for (let next = await pieces.next(); !next.done; next = await pieces.next()) {
    begun.push(next.value)
    if ('text' in next.value || 'reasoning' in next.value) return
  }
}

/** Puts the first pieces back in front of the rest. Not a generator, which would add another promise for each piece. */
function resumed<P> ([...begun]: P[], rest: AsyncGenerator<P, void>): AsyncIterable<P> {
  return {
    [Symbol.asyncIterator]: () => ({
      next: async () => begun.length > 0 ? { value: begun.shift()! } : await rest.next(),
      return: async () => await rest.return()
    })
  }
}

async function * failing (error: unknown): AsyncGenerator<ReplyPiece, void> {
  throw error
}

const notConfigured: StreamingBot = async function * notConfigured () {
  throw failure('BOT_NOT_CONFIGURED', new Error('OPENAI_API_KEY is not set'))
}
