import type { Config } from '../config.ts'
import { createKnowledge, type Adaptation } from './adaptation.ts'
import { failure, type Estimate, type ReplyPiece, type StreamingBot, type Turn } from './bot.ts'
import type { Call } from './provider-call.ts'
import { fit, linesOf, type History, type Line } from './history.ts'
import { bodyOf, type RequestDraft } from './options.ts'
import { createProvider, isRequestRefused, type RequestRefused } from './provider.ts'
import { meaningOf } from './refusals.ts'
import { createRefusedTurns } from './refused-turns.ts'
import type { OpenAiSettings } from './settings.ts'
import { createTokenCounter, roughTokensIn } from './token-counter.ts'

export type OpenAiConfig = Pick<Config, 'OPENAI_API_KEY' | 'OPENAI_BASE_URL' | 'OPENAI_MODEL' | 'BOT_TIMEOUT_CONNECT'>

/** How often one reply is asked for in another way, at most: each option has a few ways, a history can be halved, and a refused turn is searched for. */
const MAX_ATTEMPTS = 32

/** Statuses of a refusal that may be about what the messages say or how long they are. */
const MAY_BE_HISTORY = [400, 422, 424, 431, 446, 451]

/** Language models at anything that speaks like OpenAI. */
export function createOpenAi (config: OpenAiConfig, call: Call) {
  const { OPENAI_API_KEY: key, OPENAI_BASE_URL: address, OPENAI_MODEL: defaultModel } = config
  if (key === undefined) return { close: async () => { /* nothing was opened */ }, createBot: () => notConfigured }

  const provider = createProvider({ address, key, connectTimeoutMs: config.BOT_TIMEOUT_CONNECT * 1000 })
  const counter = import('gpt-tokenizer/encoding/o200k_base').then(({ countTokens }) => createTokenCounter(countTokens)) // 66 MB, for those who need it
  const knowledge = createKnowledge()

  return {
    close: provider.close,

    createBot ({ prompt, history_tokens: budget = 8000, model = defaultModel, temperature, max_tokens: maxTokens }: OpenAiSettings, name: string): StreamingBot {
      return async function reply (turns, signal, context) {
        const draft: RequestDraft = { model, prompt: joined(prompt, context?.instructions), temperature, maxTokens, user: context?.providerUser }
        const request = await createRequest(draft, turns, budget, name)
        const begins = () => { context?.begins?.(request.estimate()) }
        return call(address, signal => ask(request, begins, signal), signal)
      }
    }
  }

  /** Asks until the provider takes the request, or until there is no other way left to put it. */
  async function ask (request: Request, begins: () => void, signal: AbortSignal, attempts = MAX_ATTEMPTS): Promise<AsyncIterable<ReplyPiece>> {
    try {
      const { isTrial } = request
      const pieces = await provider.complete({ body: request.body(), model: request.model, begins: isTrial ? ignore : begins }, signal)
      const first = await pieces.next()
      request.worked()
      if (!isTrial) return request.finished(first, pieces)
      await pieces.return()
      await request.accept()
    } catch (error) {
      if (!isRequestRefused(error) || attempts === 1 || !await request.change(error)) throw error
    }
    return await ask(request, begins, signal, attempts - 1)
  }

  /** A request that changes with each refusal: the options that it has, and how much of the conversation it tells. */
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
    /** What the requests cost that were only to find out, in tokens. */
    let trialTokens = 0
    /** How often the history was made shorter because of a refusal that nobody understands. */
    let shortened = 0
    if (lines.length === 0) throw failure('BOT_NONSENSE', new Error('There is no message to answer'))

    return {
      model,
      get isTrial () { return refusedTurns.isTrial },
      body: () => bodyOf(draft, lines, adaptation.ways),

      /** Counted when the reply has ended and only where the provider said nothing, so that it delays no first token. */
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
      },

      /** A part of the history was accepted, which was asked with only to find out what is not. */
      async accept () {
        trialTokens += await tokens.inMessages(textsIn(lines))
        refusedTurns.accept()
        await choose()
      },

      /** The answer, with the turns that turned out to be refused, and with the cost of finding out. */
      finished (first: IteratorResult<ReplyPiece, void>, rest: AsyncGenerator<ReplyPiece, void>): AsyncIterable<ReplyPiece> {
        const refused = [...refusedTurns.found]
        return trialTokens === 0 ? resumed(first, rest) : withTrials({ refused, promptTokens: trialTokens }, resumed(first, rest))
      },

      /** False when it cannot be put otherwise. @throws MESSAGE_REFUSED, BOT_CONTEXT_FULL when even the last message alone is refused */
      async change (error: RequestRefused): Promise<boolean> {
        const { kind } = meaningOf(error.refusal, adaptation.options())
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
     * A refusal that nobody understands may be about the history: a window that is full, or a turn that a filter refuses. It
     * would be refused with every later message, so that half of it is tried, and then the last question alone.
     */
    async function shorten ({ refusal }: RequestRefused) {
      if (!MAY_BE_HISTORY.includes(refusal.status) || !history.isLonger || shortened === 2) return false
      most = ++shortened === 1 ? Math.max(1, Math.floor(history.tokens / 2)) : 1
      await choose()
      fitting = shortened === 1 ? await tokens.inText(prompt) + most : undefined
      return true
    }

    /** Reads the history without the turns that are refused, or takes a part of it. */
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

/** An answer that took other requests to get: which turns these found to be refused, and what they cost, by an estimate. */
async function * withTrials ({ refused, promptTokens }: { refused: Turn[], promptTokens: number }, pieces: AsyncIterable<ReplyPiece>): AsyncGenerator<ReplyPiece, void> {
  yield { refused }
  for await (const piece of pieces) {
    const usage = 'usage' in piece ? piece.usage : undefined
    yield usage === undefined ? piece : { ...piece, usage: { ...usage, promptTokens: usage.promptTokens + promptTokens, isEstimate: true } }
  }
}

function ignore () {}

/** The bot's own prompt, and behind it what the client adds to it. */
function joined (prompt: string | undefined, instructions: string | undefined) {
  return prompt === undefined || instructions === undefined ? prompt ?? instructions : `${prompt}\n\n${instructions}`
}

/** The rest of what was begun, without another layer of promises around each piece. */
function resumed<P> (first: IteratorResult<P, void>, rest: AsyncGenerator<P, void>): AsyncIterable<P> {
  let isFirst = true
  return {
    [Symbol.asyncIterator]: () => ({
      next: async () => {
        if (!isFirst) return await rest.next()
        isFirst = false
        return first
      },
      return: async () => await rest.return()
    })
  }
}

const notConfigured: StreamingBot = async function * notConfigured () {
  throw failure('BOT_NOT_CONFIGURED', new Error('OPENAI_API_KEY is not set'))
}
