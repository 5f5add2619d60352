import { useEffect, useState } from 'react'
import { useChat, type UIMessage } from '@ai-sdk/react'
import {
  ActionBarPrimitive as ActionBar, AssistantRuntimeProvider, ComposerPrimitive as Composer,
  MessagePrimitive as Message, ThreadPrimitive as Thread, type AppendMessage
} from '@assistant-ui/react'
import { useAISDKRuntime } from '@assistant-ui/react-ai-sdk'
import { DefaultChatTransport, type CreateUIMessage } from 'ai'

const API = 'http://localhost:5000/api/chat'
const transport = new DefaultChatTransport<UIMessage>({
  api: API,
  credentials: 'include',
  // An edited message keeps its id. This tells the server that it is not a new one.
  prepareSendMessagesRequest: ({ id, messages, trigger, messageId = editedId(messages.at(-1)) }) =>
    ({ body: { id, messages, trigger, messageId } })
})

location.hash ||= crypto.randomUUID()
const id = location.hash.slice(1)

async function load () {
  const answer = await fetch(`${API}/${id}`, { credentials: 'include' })
  const body = await answer.json()
  if (!answer.ok) throw new Error(body.error)
  return body as UIMessage[]
}

export default function App () {
  const [history, setHistory] = useState<UIMessage[]>()
  const [problem, setProblem] = useState('')

  useEffect(() => {
    load().then(setHistory, error => setProblem(error.message))
  }, [])

  return history ? <Chat history={history} /> : <p role='alert'>{problem}</p>
}

function Chat ({ history }: { history: UIMessage[] }) {
  const chat = useChat({ id, messages: history, resume: true, transport })
  const runtime = useAISDKRuntime({ ...chat, stop }, { toCreateMessage })

  async function stop () {
    await fetch(`${API}/${id}/stop`, { method: 'POST', credentials: 'include' })
    await chat.stop()
  }

  return (
    <AssistantRuntimeProvider runtime={runtime}>
      <Conversation />
      {chat.error && <p role='alert'>{chat.error.message}</p>}
    </AssistantRuntimeProvider>
  )
}

export function Conversation () {
  return (
    <Thread.Root>
      <Thread.Messages>
        {({ message: { role, composer } }) => composer.isEditing ? <Editor /> : <Shown role={role} />}
      </Thread.Messages>
      <Composer.Root>
        <Composer.Input aria-label='Message' />
        <Composer.Send>Send</Composer.Send>
        <Composer.Cancel>Stop</Composer.Cancel>
      </Composer.Root>
    </Thread.Root>
  )
}

function Shown ({ role }: { role: string }) {
  return (
    <Message.Root>
      {role}: <Message.Parts>{({ part }) => part.type === 'text' && part.text}</Message.Parts>
      {role === 'user' && <ActionBar.Edit>Edit</ActionBar.Edit>}
      {role === 'assistant' && <ActionBar.Reload>Regenerate</ActionBar.Reload>}
    </Message.Root>
  )
}

function Editor () {
  return (
    <Composer.Root>
      <Composer.Input aria-label='Edited message' />
      <Composer.Send>Save</Composer.Send>
      <Composer.Cancel>Cancel</Composer.Cancel>
    </Composer.Root>
  )
}

function toCreateMessage<M extends UIMessage> ({ content, sourceId }: AppendMessage) {
  const parts = content.flatMap(part => part.type === 'text' ? [{ type: 'text', text: part.text }] : [])
  const edited = sourceId !== null && { id: sourceId, metadata: { isEdited: true } }
  return { parts, ...edited } as CreateUIMessage<M>
}

function editedId (message?: UIMessage) {
  return (message?.metadata as { isEdited?: boolean } | undefined)?.isEdited ? message!.id : undefined
}
