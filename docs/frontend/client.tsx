import { useEffect, useState } from 'react'
import { createClient } from 'parley'
import { ParleyProvider, useConversation, useConversations } from 'parley/react'

const parley = createClient({ url: 'http://localhost:5000' })

export default function App () {
  return <ParleyProvider client={parley}><Chats /></ParleyProvider>
}

function Chats () {
  const [open, setOpen] = useState<number>()
  const { conversations, connection, hasMore, more } = useConversations()
  if (connection === 'signed-out') return <SignIn />
  return (
    <>
      {conversations.map(({ id, name, unread }) => (
        <button key={id} onClick={() => setOpen(id)}>{name} {unread > 0 && `(${unread})`}</button>
      ))}
      {hasMore && <button onClick={more}>More</button>}
      <button onClick={async () => setOpen((await parley.create({ name: 'A chat' })).id)}>New chat</button>
      {open !== undefined && <Chat key={open} id={open} />}
    </>
  )
}

function SignIn () {
  const [problem, setProblem] = useState('')
  const signIn = (form: FormData) => parley.signIn({
    username: String(form.get('username')), password: String(form.get('password'))
  }).catch(error => setProblem(error.message))
  return (
    <form action={async form => { await signIn(form) }}>
      <input name='username' /><input name='password' type='password' /><button>Log in</button> {problem}
    </form>
  )
}

function Chat ({ id }: { id: number }) {
  const { messages, unsent, isReplying, hasOlder, connection, ...chat } = useConversation(id)
  useEffect(() => { chat.markRead().catch(() => { /* the next call tells it again */ }) }, [messages])
  const again = () => chat.regenerate().catch(error => alert(error.message))
  return (
    <>
      {hasOlder && <button onClick={chat.older}>Older messages</button>}
      {messages.map(({ id, username, text }) => <p key={id}>{username}: {text}</p>)}
      {unsent.map(message => (
        <p key={message.clientId}>
          {message.text} ({message.error?.message ?? message.status})
          {message.status === 'refused' && <button onClick={() => chat.discard(message)}>Discard</button>}
        </p>
      ))}
      <output>{connection}</output>
      {isReplying && <button onClick={chat.stop}>Stop</button>}
      {!isReplying && messages.length > 1 && <button onClick={again}>Again</button>}
      <form action={form => { chat.send(String(form.get('text'))) }}>
        <input name='text' /><button>Send</button>
      </form>
    </>
  )
}
