import { failure, type BotMemory, type ReplyPiece, type TokenUsage } from './bot.ts'
import { fieldsOf, type Reader } from './event-stream.ts'

/** An event of AG-UI, as far as it is read here, before it is checked. */
interface RunEvent { type?: unknown, messageId?: unknown, role?: unknown, delta?: unknown, subagentRunId?: unknown, messages?: unknown, outcome?: unknown, usage?: unknown, message?: unknown }

export interface RunReaderOptions {
  /** The state to store after a reply whose last message has this id. */
  remember: (messageId: string) => BotMemory | undefined
  /** Makes an error for the log from words of the agent, without the secrets in its settings. */
  logged: (words: string) => Error
}

/** Matches the events of a message that grows: of text, or of reasoning, which was called thinking before version 1.0. */
const GROWTH = /^(TEXT|REASONING|THINKING_TEXT)_MESSAGE_(START|CONTENT|CHUNK|END)$/

/** A piece that shows that the agent is at work, so that BOT_TIMEOUT_SILENCE starts again. */
const AT_WORK: ReplyPiece = { reasoning: '' }

/**
 * Reads the events of one run. The messages of the agent are the reply, with an empty line between them, and its reasoning is
 * reasoning. What users, tools and subagents say in the run is left out, as are all events that are not about messages, but
 * they show that the agent is at work.
 * @see https://docs.ag-ui.com/concepts/events
 */
export function createRunReader ({ remember, logged }: RunReaderOptions): Reader {
  const text = createParagraphs()
  const reasoning = createParagraphs()
  const foreign = new Set<unknown>()
  let hasBegun = false
  let hasFinished = false
  let lastMessage = ''
  let history: unknown[] = []

  return {
    read (data) {
      const event = fieldsOf(data) as RunEvent
      const { type, messages } = event
      if (hasFinished || typeof type !== 'string') return { pieces: [] }
      hasBegun = true
      if (type === 'RUN_STARTED') return { pieces: [] }
      if (type === 'RUN_ERROR') throw failure('BOT_BROKE_OFF', logged(`The agent reported: ${String(event.message)}`))
      if (type === 'RUN_FINISHED') return { pieces: finish(event), isLast: true }
      if (type === 'MESSAGES_SNAPSHOT' && Array.isArray(messages)) history = messages
      const [, kind, step] = GROWTH.exec(type) ?? []
      if (step === undefined || isForeign(event)) return { pieces: [AT_WORK] }
      if (kind !== 'TEXT') return { pieces: [{ reasoning: reasoning.take(step, event) }] }
      const told = say(step, event)
      return { pieces: [told === '' ? AT_WORK : { text: told }] }
    },

    unreadable: text => failure('BOT_NONSENSE', logged(`The agent's answer is not JSON: ${text}`)),

    rest,

    end () {
      if (!hasFinished) throw hasBegun ? failure('BOT_BROKE_OFF', new Error('The run has no end')) : failure('BOT_NONSENSE', new Error('The agent\'s answer has no events of AG-UI'))
      return []
    }
  }

  /** Whether it belongs to a message that is not the agent's own. Only the beginning of a message has its role. */
  function isForeign ({ messageId, role = 'assistant', subagentRunId }: RunEvent) {
    if (typeof subagentRunId === 'string') return true
    if (!['assistant', 'reasoning'].includes(role as string)) foreign.add(messageId)
    return foreign.has(messageId)
  }

  function say (step: string, event: RunEvent) {
    if (typeof event.messageId === 'string') lastMessage = event.messageId
    return text.take(step, event)
  }

  /** What was held back. */
  function rest (): ReplyPiece[] {
    return [{ reasoning: reasoning.rest() }, { text: text.rest() }]
  }

  function finish ({ outcome, usage }: RunEvent): ReplyPiece[] {
    if (fieldsOf(outcome)['type'] === 'cancelled') throw failure('BOT_BROKE_OFF', new Error('The run was cancelled'))
    hasFinished = true
    const pieces = rest()
    if (!text.hasWords()) pieces.push(...shown())
    return [...pieces, { usage: usageOf(usage), memory: remember(lastMessage) }]
  }

  /** The reply of an agent that streams no text: the messages of its snapshot after the user's last one. */
  function shown (): ReplyPiece[] {
    const messages = history.map(fieldsOf)
    return messages.slice(messages.findLastIndex(({ role }) => role === 'user') + 1).flatMap(({ role, id: messageId, content: delta }): ReplyPiece[] => {
      const event = { messageId, delta }
      if (role === 'assistant') return [{ text: say('CHUNK', event) }]
      return role === 'reasoning' ? [{ reasoning: reasoning.take('CHUNK', event) }] : []
    })
  }
}

/** A message that may still grow, and its text that was not passed on yet. */
interface Growing { untold: string, isTold: boolean, hasEnded: boolean }

/**
 * Joins messages to one text, with an empty line between them. Several may grow at the same time. The oldest one is passed on
 * while it grows; those that begin before it has ended are held back until then.
 */
function createParagraphs () {
  const open = new Map<string, Growing>()
  let chunked: string | undefined
  let hasWords = false

  return {
    hasWords: () => hasWords,

    /** Takes an event of a message, and returns the text that can be passed on now. A message of chunks ends when another one grows. */
    take (step: string, { messageId, delta }: RunEvent): string {
      const id = typeof messageId === 'string' ? messageId : chunked ?? ''
      if (chunked !== undefined && chunked !== id) get(chunked).hasEnded = true
      chunked = step === 'CHUNK' ? id : undefined
      const message = get(id)
      if (typeof delta === 'string') message.untold += delta
      message.hasEnded = step === 'END'
      return tell(false)
    },

    /** The text of all messages that was held back. */
    rest: () => tell(true)
  }

  function get (id: string) {
    const message = open.get(id) ?? { untold: '', isTold: false, hasEnded: false }
    open.set(id, message)
    return message
  }

  function tell (isOver: boolean) {
    let told = ''
    for (const [id, message] of open) {
      if (message.untold !== '') {
        told += (message.isTold || !hasWords ? '' : '\n\n') + message.untold
        message.untold = ''
        message.isTold = hasWords = true
      }
      if (!message.hasEnded && !isOver) break
      open.delete(id)
    }
    return told
  }
}

/** The tokens of all models that the run has used, under the name of the first one. */
function usageOf (usage: unknown): TokenUsage | undefined {
  const entries = (Array.isArray(usage) ? usage : []).map(fieldsOf)
  const sum = (name: string) => entries.reduce((sum, { [name]: count }) => sum + (Number.isInteger(count) ? count as number : 0), 0)
  const [promptTokens, completionTokens] = [sum('inputTokens'), sum('outputTokens')]
  if (promptTokens + completionTokens === 0) return undefined
  const model = entries.map(({ model }) => model).find(model => typeof model === 'string')
  return { promptTokens, completionTokens, model }
}
