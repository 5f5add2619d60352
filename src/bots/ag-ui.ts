import { randomUUID } from 'node:crypto'
import { isStorable } from '../text/text.ts'
import { createRunReader } from './ag-ui-run.ts'
import type { BotMemory, ReplyContext, StreamingBot, Turn } from './bot.ts'
import { readPieces } from './event-stream.ts'
import { createFencedPost, type FencedConfig } from './fenced-post.ts'
import { contentOfTurn, isGroupOf, isMine } from './history.ts'
import type { Call } from './provider-call.ts'
import { createRedaction } from './secrets.ts'
import type { AgUiSettings } from './settings.ts'

/** The longest message id of an agent that we store. */
const MAX_MESSAGE_ID_LENGTH = 255

/** The bot's state: the ids that the agent gave to its messages, by the ids of our replies. */
interface KnownIds { ids: Record<string, string> }

/** Agents that speak AG-UI over HTTP. Each reply is one run, which gets the whole history. */
export function createAgUi (config: FencedConfig, call: Call) {
  const agents = createFencedPost(config, { who: 'agent', maxMebibytes: 64 })

  return {
    close: agents.close,
    createBot: ({ url, headers = {} }: AgUiSettings, name: string): StreamingBot => (turns, signal, context) => {
      const known = knownIn(turns, context)
      const body = JSON.stringify(runInputOf(turns, name, known, context))
      const remember = (messageId: string) => memoryWith(messageId, known, context)
      const own = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
      const logged = (words: string) => new Error(createRedaction(Object.values(headers))(words))
      return call(url, async signal => {
        const { bytes, close } = await agents.send({ url, headers: { ...own, accept: 'text/event-stream', 'content-type': 'application/json' }, body, signal })
        return readPieces(bytes, createRunReader({ remember, logged }), close)
      }, signal, context?.user?.id)
    }
  }
}

/**
 * The body of a request. A message has the same id in every run, and a reply has the id that the agent gave it, so that agents
 * that store the thread recognise its messages. `me` is the bot's own name.
 * @see https://docs.ag-ui.com/sdk/js/core/types
 */
function runInputOf (turns: Turn[], me: string, { ids }: KnownIds, { conversation, instructions }: Partial<ReplyContext> = {}) {
  // With a prefix, because an agent may be another Parley, which would take a number for the id of one of its own conversations.
  const threadId = conversation ? `parley-${conversation.id}` : randomUUID()
  const isGroup = isGroupOf(turns, me)
  const said = turns.map((turn, index) => ({
    id: ids[turn.id ?? ''] ?? `${threadId}-${turn.id ?? index + 1}`,
    role: isMine(turn, me) ? 'assistant' : 'user',
    content: contentOfTurn(turn, me, isGroup)
  }))
  const instructed = instructions === undefined ? [] : [{ id: `${threadId}-system`, role: 'system', content: instructions }]
  return { threadId, runId: randomUUID(), state: {}, messages: [...instructed, ...said], tools: [], context: [], forwardedProps: {} }
}

/** The stored ids of the turns. */
function knownIn (turns: Turn[], context: ReplyContext | undefined): KnownIds {
  const { ids = {} } = (context?.state ?? {}) as Partial<KnownIds>
  return { ids: Object.fromEntries(turns.flatMap(({ id = '' }) => ids[id] === undefined ? [] : [[id, ids[id]]])) }
}

/** The state to store after a reply; undefined when the id is of no use, such as one that the agent uses for every message. */
function memoryWith (messageId: string, { ids }: KnownIds, context: ReplyContext | undefined): BotMemory | undefined {
  const isUsable = messageId !== '' && messageId.length <= MAX_MESSAGE_ID_LENGTH && isStorable(messageId) && !Object.values(ids).includes(messageId)
  return isUsable && context?.message ? { state: { ids: { ...ids, [context.message.replyId]: messageId } } } : undefined
}
