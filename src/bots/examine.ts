import type { Config } from '../config.ts'
import type { StreamingBot } from './bot.ts'
import { createOpenAi, type OpenAiConfig } from './openai.ts'
import { tidy } from './pieces.ts'
import { isRequestRefused } from './provider.ts'
import { isFailure } from './refusal.ts'

/** How much of a model's answer is shown, in UTF-16 units. */
const MAX_WORDS_LENGTH = 100

/**
 * Asks the model for one token, which costs next to nothing, and otherwise as a bot does: with the options that the provider
 * accepts, and for as long as a bot waits, because a model on this machine may be loaded only now. A model that needs more tokens, for
 * example to think first, is asked without that limit. Returns how it was asked, and the beginning of its answer.
 * @throws what a bot of this model throws
 */
export async function examineModel (config: OpenAiConfig & Pick<Config, 'BOT_TIMEOUT_FIRST'>): Promise<string> {
  const models = createOpenAi(config, async function * once (_address, ask, signal) { yield * tidy(await ask(signal)) })
  const { signal, end } = endAfter(config.BOT_TIMEOUT_FIRST)
  const ask = (settings: { max_tokens?: number }) => firstWords(models.createBot(settings, 'doctor')([{ sender: 'user', name: null, text: 'Say hi.' }], signal))
  const answer = ask({ max_tokens: 1 }).then(words => `was asked for one token and answered: ${words}`, async error => {
    if (!mayNeedMore(error)) throw error
    return `needs more than one token, and answered: ${await ask({})}`
  })
  return await answer.finally(async () => {
    end()
    await models.close()
  })
}

/** Whether the limit of one token may be the reason why there is no answer. */
function mayNeedMore (error: unknown) {
  return isRequestRefused(error) ? [400, 422].includes(error.refusal.status) : isFailure(error) && error.failure === 'BOT_NONSENSE'
}

/** The beginning of an answer, on one line. Ends the answer there, because a model may go on for long. */
async function firstWords (reply: ReturnType<StreamingBot>) {
  let words = ''
  for await (const piece of await reply) {
    if ('text' in piece) words += piece.text
    if (words.length >= MAX_WORDS_LENGTH) break
  }
  return words.slice(0, MAX_WORDS_LENGTH).replace(/\s+/g, ' ')
}

/** A signal that aborts after this many seconds, unless `end` is called before. */
export function endAfter (seconds: number) {
  const timeout = new AbortController()
  // The process would not wait for AbortSignal.timeout, and would end without printing anything.
  const timer = setTimeout(() => timeout.abort(new Error(`no answer within ${seconds} s`)), seconds * 1000)
  return { signal: timeout.signal, end: () => clearTimeout(timer) }
}
