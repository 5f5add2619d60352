import { HttpAgent, type AgentSubscriber, type Message } from '@ag-ui/client'
import { EventSchemas } from '@ag-ui/core/schemas'
import type { Headers } from './helper.ts'
import { until } from './process.ts'

// A front end that speaks AG-UI, without a page: `HttpAgent` of `@ag-ui/client`, which also checks the order of the events.

export interface AgUiEvent { type: string, messageId?: string, delta?: string, message?: string, code?: string }
type Front = ReturnType<typeof createFront>

/** The events in the body of a response. Each of them is checked by the protocol's own schema. @throws for an event that breaks it */
export function eventsIn (body: string): AgUiEvent[] {
  return body.split('\n\n').filter(block => block.includes('data: ')).map(block => EventSchemas.parse(JSON.parse(block.slice(block.indexOf('data: ') + 6))) as AgUiEvent)
}

/** What a response says until it ends, or until it is cut off in the middle of a block, which is left out then. */
async function read ({ body }: Response) {
  let text = ''
  try {
    for await (const piece of body!.pipeThrough(new TextDecoderStream())) text += piece
  } catch {
    return text.slice(0, text.lastIndexOf('\n\n') + 2)
  }
  return text
}

/** An agent at this server. `path`: that of the door, or of one bot. */
export function createFront ({ url, headers, threadId, path = '/api/ag-ui', messages = [] }: { url: string, headers: Headers, threadId?: string, path?: string, messages?: Message[] }) {
  const bodies: Array<Promise<string>> = []
  const agent = new HttpAgent({
    url: `${url}${path}`,
    headers,
    ...threadId !== undefined && { threadId },
    initialMessages: messages,
    async fetch (...request) {
      const answer = await fetch(...request)
      bodies.push(read(answer.clone()))
      return answer
    }
  })
  const errors: Array<{ message: string, code?: string | undefined }> = []
  const outcomes: string[] = []
  const subscriber: AgentSubscriber = {
    onRunErrorEvent ({ event: { message, code } }) { errors.push({ message, code }) },
    onRunFinishedEvent ({ event: { outcome } }) { outcomes.push(outcome?.type ?? 'success') }
  }
  let sent = 0

  /** Runs the agent on its messages, and checks every event that it got. */
  async function run (runId?: string) {
    const result = await agent.runAgent({ ...runId !== undefined && { runId } }, subscriber)
    eventsIn(await bodies.at(-1)!)
    return result
  }

  return {
    agent,
    /** The errors that ended runs, and how the others ended. */
    errors,
    outcomes,
    run,
    /** Adds a message of the user, and runs the agent. */
    async send (text: string, id = `message-${++sent}`) {
      agent.addMessage({ id, role: 'user', content: text })
      return await run()
    },
    /** The events of the last run. */
    events: async () => eventsIn(await bodies.at(-1)!)
  }
}

/** What a front end shows: who says what. */
export const saidIn = ({ agent }: Front) => agent.messages.map(({ role, name, content }: { role: string, name?: string, content?: unknown }) => `${name ?? role}: ${String(content)}`)

export const says = async (front: Front, last: string) => await until(() => saidIn(front).at(-1) === last)
