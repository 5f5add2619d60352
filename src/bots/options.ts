import type { Line } from './history.ts'

/** The options of a request, beside the model and the messages. Some providers or models refuse some of them. */
export type Option = 'stream_options' | 'temperature' | 'max_tokens' | 'user' | 'system' | 'stream'

/** Which way each option is sent in. 0 is the usual way, and the default. */
export type Ways = ReadonlyMap<Option, number>

/** How many ways there are to send an option. The last way leaves the option out; for the system prompt, it leaves out only its role. */
export const WAYS: Record<Option, number> = { stream_options: 2, temperature: 2, max_tokens: 3, user: 2, system: 3, stream: 2 }

/** The content of a request, before its options are put into the form that a provider accepts. */
export interface RequestDraft {
  model: string
  prompt: string | undefined
  temperature: number | undefined
  maxTokens: number | undefined
  user: string | undefined
}

/** The options that a request contains when it is sent in these ways. Only these can be refused by a provider. */
export function optionsIn ({ prompt, temperature, maxTokens, user }: RequestDraft, ways: Ways): Set<Option> {
  const wanted: Record<Option, boolean> = {
    stream_options: ways.get('stream') !== WAYS.stream - 1,
    temperature: temperature !== undefined,
    max_tokens: maxTokens !== undefined,
    user: user !== undefined,
    system: prompt !== undefined,
    stream: true
  }
  return new Set((Object.keys(wanted) as Option[]).filter(option => wanted[option] && ways.get(option) !== WAYS[option] - 1))
}

/** The body of a request. @see https://platform.openai.com/docs/api-reference/chat/create */
export function bodyOf (draft: RequestDraft, lines: Line[], ways: Ways): string {
  const way = (option: Option) => ways.get(option) ?? 0
  const isStreamed = way('stream') === 0
  const { model, temperature, maxTokens, user } = draft
  return JSON.stringify({
    model,
    messages: messagesOf(draft, lines, way('system')),
    temperature: way('temperature') === 0 ? temperature : undefined,
    max_tokens: way('max_tokens') === 0 ? maxTokens : undefined,
    max_completion_tokens: way('max_tokens') === 1 ? maxTokens : undefined,
    user: way('user') === 0 ? user : undefined,
    stream: isStreamed || undefined,
    stream_options: isStreamed && way('stream_options') === 0 ? { include_usage: true } : undefined
  })
}

/** Newer models of OpenAI call the system role `developer`. The chat templates of some models have neither role. */
function messagesOf ({ prompt }: RequestDraft, lines: Line[], way: number) {
  if (prompt === undefined) return lines
  if (way < 2) return [{ role: way === 0 ? 'system' : 'developer', content: prompt }, ...lines]
  const [first, ...rest] = lines
  return [{ role: 'user', content: `${prompt}\n\n${first!.content}` }, ...rest]
}
