import { useEffect, useRef, useState } from 'react'
import { io, type Socket } from 'socket.io-client'

const API = 'http://localhost:5000'

interface Part { type: string, text?: string }
interface Message {
  id: number, rev: number, username: string | null, text: string, parts?: Part[], status: string
}
interface Delta { id: number, part?: number, type?: string, offset: number, text: string }
interface Page { messages: Message[], more: boolean }
interface Refusal { code: string, error: string }
type Messages = Record<number, Message>

// How much of a message has been written, in all its parts.
function lengthOf ({ text, parts = [{ type: 'text', text }] }: Pick<Message, 'text' | 'parts'>) {
  return parts.reduce((sum, { text = '' }) => sum + text.length, 0)
}

async function call (path: string, body?: object) {
  const answer = await fetch(API + path, {
    method: body === undefined ? 'GET' : 'POST',
    headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
    body: body && JSON.stringify(body),
    credentials: 'include' // sends the session cookie
  })
  const result = await answer.json()
  if (!answer.ok) throw new Error(result.error)
  return result
}

export default function App () {
  const [list, setList] = useState<Array<{ id: number, name: string }>>()
  const [open, setOpen] = useState<number>()

  async function logIn (form: FormData) {
    await call('/api/login', Object.fromEntries(form))
    setList(await call('/api/conversations?messages=0'))
  }

  if (open !== undefined) return <Conversation id={open} />
  if (list !== undefined) {
    return list.map(({ id, name }) => <button key={id} onClick={() => setOpen(id)}>{name}</button>)
  }
  return (
    <form action={logIn}>
      <input name='username' />
      <input name='password' type='password' />
      <button>Log in</button>
    </form>
  )
}

function Conversation ({ id }: { id: number }) {
  const socket = useRef<Socket>(null)
  const [messages, setMessages] = useState<Messages>({})

  // The server sends a message again whenever it changes. The version with the higher rev is newer. While a
  // reply is being written its rev stays the same, and the longer version is newer.
  function merge (changed: Message[]) {
    setMessages(known => {
      const merged = { ...known }
      for (const message of changed) {
        const { rev, ...old } = known[message.id] ?? { rev: 0, text: '' }
        const isNewer = message.rev > rev || (message.rev === rev && lengthOf(message) > lengthOf(old))
        if (isNewer) merged[message.id] = message
      }
      return merged
    })
  }

  // A delta is the next piece of a reply that is being written: of the text, or of what a model thinks
  // before it answers. Its offset says where in its part the piece belongs, so applying it twice does no
  // harm.
  function grow ({ id, part = 0, type = 'text', offset, text }: Delta) {
    setMessages(known => {
      const reply = known[id]
      if (!reply) return known
      const parts = [...reply.parts ?? [{ type: 'text', text: reply.text }]]
      parts[part] = { type, text: (parts[part]?.text ?? '').slice(0, offset) + text }
      const said = parts.filter(({ type }) => type === 'text').map(({ text }) => text).join('')
      return { ...known, [id]: { ...reply, parts, text: said } }
    })
  }

  useEffect(() => {
    let lastRev = 0
    let isCaughtUp = false
    let retry: ReturnType<typeof setTimeout>
    const live = socket.current = io(API, { withCredentials: true })

    // Catch up: this runs when the socket connects, and again each time it reconnects. Fetch everything that
    // changed after the last rev, page by page. After that the server sends changes as events.
    function catchUp () {
      isCaughtUp = false
      live.emit('join_chat', { chat_session_id: id, after: lastRev }, (page: Page | Refusal) => {
        if ('error' in page) return tryLater(catchUp)
        merge(page.messages)
        lastRev = page.messages.at(-1)?.rev ?? lastRev
        isCaughtUp = !page.more
        if (page.more) catchUp()
      })
    }

    function tryLater (work: () => void) {
      clearTimeout(retry)
      retry = setTimeout(work, 5_000)
    }

    live.on('connect', catchUp)
    // Socket.IO connects again by itself, except where the server closed the connection, because the session
    // has ended, or refused it, for example because its database is unavailable. After the end of the
    // session the server refuses the next connection, too. Then reload, so that the user can log in.
    live.on('disconnect', reason => { if (reason === 'io server disconnect') live.connect() })
    live.on('connect_error', (error: Error & { data?: Refusal }) => {
      if (error.data?.code === 'INVALID_TOKEN') location.reload()
      else if (!live.active) tryLater(() => live.connect())
    })
    live.on('new_message', (message: Message) => {
      merge([message])
      // Before the last page, for example after a message was sent, changes before this one may be missing.
      if (isCaughtUp) lastRev = Math.max(lastRev, message.rev)
    })
    live.on('message_delta', grow)
    return () => {
      clearTimeout(retry)
      live.disconnect()
    }
  }, [id])

  // Retry: the connection can break after the server has stored the message, but before its answer arrives.
  // A message that is sent again with the same client_id is stored only once.
  async function send (form: FormData) {
    const message = { chat_session_id: id, text: form.get('text'), client_id: crypto.randomUUID() }
    for (let attempt = 1; ; attempt++) {
      try {
        const { messages, error } = await socket.current!.timeout(10_000).emitWithAck('send_message', message)
        return error ? alert(error) : merge(messages)
      } catch (timeout) {
        if (attempt === 3) throw timeout
      }
    }
  }

  const shown = Object.values(messages).filter(({ status }) => status !== 'deleted')
  return (
    <>
      {shown.map(({ id, username, text }) => <p key={id}>{username}: {text}</p>)}
      <form action={send}><input name='text' /><button>Send</button></form>
    </>
  )
}
