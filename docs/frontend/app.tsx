import { useEffect, useRef, useState } from 'react'
import { io, type Socket } from 'socket.io-client'

const API = 'http://localhost:5000'
interface Message { id: number, rev: number, username: string | null, text: string, status: string }

async function call (path: string, body?: object) {
  const post = body && { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }
  const answer = await fetch(API + path, { ...post, credentials: 'include' })
  if (!answer.ok) throw new Error((await answer.json()).error)
  return await answer.json()
}

export function App () {
  const [list, setList] = useState<Array<{ id: number, name: string }>>()
  const [open, setOpen] = useState<number>()
  const logIn = async (form: FormData) =>
    await call('/api/login', Object.fromEntries(form)).then(async () => setList(await call('/api/conversations?messages=0')))
  if (open !== undefined) return <Conversation id={open} />
  if (list !== undefined) return list.map(({ id, name }) => <button key={id} onClick={() => setOpen(id)}>{name}</button>)
  return <form action={logIn}><input name='username' /><input name='password' type='password' /><button>Log in</button></form>
}

function Conversation ({ id: chat_session_id }: { id: number }) {
  const socket = useRef<Socket>(null)
  const [messages, setMessages] = useState<Record<number, Message>>({})
  const take = (news: Message[]) => setMessages(known => ({ ...known, ...Object.fromEntries(news.map(message => [message.id, message])) }))
  useEffect(() => {
    let rev = 0 // all that changed up to here is there
    const live = socket.current = io(API, { withCredentials: true })
    live.on('connect', async () => { // the first time, and after each lost connection
      for (let news = { messages: [] as Message[], more: true }; news.more; rev = news.messages.at(-1)?.rev ?? rev) {
        take((news = await live.emitWithAck('join_chat', { chat_session_id, after: rev })).messages)
      }
    })
    live.on('new_message', message => { take([message]); rev = Math.max(rev, message.rev) })
    live.on('message_delta', ({ id, offset, text }) => setMessages(({ [id]: it, ...known }) => ({ ...known, [id]: { ...it!, text: it!.text.slice(0, offset) + text } })))
    return () => { live.disconnect() }
  }, [chat_session_id])
  const send = async (form: FormData) => // sent again with the same client_id, it is stored once
    take((await socket.current!.emitWithAck('send_message', { chat_session_id, text: form.get('text'), client_id: crypto.randomUUID() })).messages)
  const shown = Object.values(messages).filter(({ status }) => status !== 'deleted').map(({ id, username, text }) => <p key={id}>{username}: {text}</p>)
  return <>{shown}<form action={send}><input name='text' /><button>Send</button></form></>
}
