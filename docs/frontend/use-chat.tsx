import { useEffect, useState } from 'react'
import { useChat, type UIMessage } from '@ai-sdk/react'
import { DefaultChatTransport } from 'ai'

const API = 'http://localhost:5000/api/chat'
const transport = new DefaultChatTransport({ api: API, credentials: 'include' }) // sends the session cookie

// The address of the page has the chat's id. The first message of a new id creates the chat.
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
  const { messages, sendMessage, regenerate, stop, status, error } = useChat({
    id, messages: history, resume: true, transport
  })

  // `stop` closes the connection of this page. The server stops the reply for everybody.
  async function stopReply () {
    await fetch(`${API}/${id}/stop`, { method: 'POST', credentials: 'include' })
    await stop()
  }

  function edit ({ id }: UIMessage) {
    const text = prompt('Your message')
    if (text) sendMessage({ text, messageId: id })
  }

  function send (form: FormData) {
    sendMessage({ text: String(form.get('text')) })
  }

  return (
    <>
      {messages.map(message => (
        <p key={message.id}>
          {message.role}: {message.parts.map(part => part.type === 'text' && part.text)}
          {message.role === 'user' && <button onClick={() => edit(message)}>Edit</button>}
        </p>
      ))}
      {error && <p role='alert'>{error.message}</p>}
      <output>{status}</output>
      <button onClick={stopReply}>Stop</button>
      <button onClick={() => regenerate()}>Regenerate</button>
      <form action={send}><input name='text' /><button>Send</button></form>
    </>
  )
}
