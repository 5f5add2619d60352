import { lazy, memo, Suspense, useState, type ReactNode } from 'react'
import { useMutation } from '@tanstack/react-query'
import type { Message, Profile } from '../api/shapes.js'
import { Bubble } from '../ui/bubble.js'
import { Icon } from '../ui/icon.js'
import { Scroller } from '../ui/scroller.js'
import { dayOf } from '../ui/time.js'
import { Unsent } from '../ui/unsent.js'
import { words } from '../words.js'
import type { Chat, ChatView } from './chat.js'
import { EditMessage } from './edit-message.js'

/** Fetched before there is anything to show; where that fails, what bots say is shown as it is written. */
const markdown = import('./markdown.js').catch(() => ({ default: Plain }))
const Markdown = lazy(() => markdown)

const MOST_READ_OUT = 500

interface MessageListProps { view: ChatView, chat: Chat, me: Profile, label: string }

export function MessageList ({ view, chat, me, label }: MessageListProps) {
  const messages = view.messages.filter(({ status }) => status !== 'deleted')
  const isMine = ({ sender, username }: Message) => sender === 'user' && username === me.username
  const myLast = messages.findLast(isMine)
  const lastReply = messages.findLast(({ sender }) => sender === 'bot')
  const newest = messages.at(-1)
  return (
    <>
      <Scroller label={label || words.chat.conversations} onTop={view.hasOlder ? chat.readOlder : undefined}>
        {view.hasOlder && <button className='text-button more' onClick={chat.readOlder}>{words.chat.older}</button>}
        {view.isOpen && messages.length === 0 && view.outgoing.length === 0 && <p className='empty'>{words.chat.empty}</p>}
        {messages.map((message, at) => (
          <Row
            key={message.id} message={message} chat={chat} isMine={isMine(message)}
            day={separatorFor(message, messages[at - 1])}
            isMyLast={message === myLast} canAskAgain={message === lastReply && message === newest && tookItsTime(message, messages[at - 1])}
          />
        ))}
        {view.outgoing.map(message => (
          <Bubble
            key={message.clientId} who={words.chat.you} at={message.at} isMine
            note={message.state === 'sending'
              ? <span className='quiet'>{words.chat.sending}</span>
              : <Unsent problem={message.problem ?? words.chat.unsent} onAgain={() => chat.sendAgain(message)} onDiscard={() => chat.discard(message)} />}
          ><Plain text={message.text} />
          </Bubble>
        ))}
      </Scroller>
      <p className='visually-hidden' role='status'>
        {newest !== undefined && !isMine(newest) && newest.status === 'complete' && words.chat.said(nameOf(newest), newest.text.slice(0, MOST_READ_OUT))}
      </p>
    </>
  )
}

/** An instant answer, which would be the same again, was stored whole with what it answers; another one has grown since. */
const tookItsTime = (reply: Message, before: Message | undefined) => before !== undefined && reply.rev > before.rev + 1

interface RowProps { message: Message, chat: Chat, isMine: boolean, day: string | undefined, isMyLast: boolean, canAskAgain: boolean }

const Row = memo(function Row ({ message, chat, isMine, day, isMyLast, canAskAgain }: RowProps) {
  const { id, sender, text, status, created_at: at } = message
  const [isEditing, setIsEditing] = useState(false)
  const regenerate = useMutation({ mutationFn: () => chat.regenerate(id) })
  const isBot = sender === 'bot'
  const hasEnded = status !== 'streaming' && status !== 'queued'

  const actions: ReactNode = (
    <span className='actions'>
      {isMyLast && !isEditing && <button className='text-button' onClick={() => setIsEditing(true)}><Icon name='edit' />{words.chat.edit}</button>}
      {canAskAgain && hasEnded && <button className='text-button' onClick={() => regenerate.mutate()}><Icon name='again' />{words.chat.regenerate}</button>}
      {regenerate.error !== null && <span className='problem' role='alert'>{regenerate.error.message}</span>}
    </span>
  )
  return (
    <div data-message={id}>
      {day !== undefined && <h2 className='day'>{day}</h2>}
      <Bubble
        who={isMine ? words.chat.you : nameOf(message)} at={at} isMine={isMine} isBot={isBot}
        note={isBot && status !== 'complete' ? <span className={`status ${status}`}>{words.chat.status[status]}</span> : undefined}
        actions={actions}
      >
        {isEditing && <EditMessage text={text} onClose={() => setIsEditing(false)} onSave={changed => chat.edit(id, changed)} />}
        {!isEditing && (isBot ? <Suspense fallback={<Plain text={text} />}><Markdown text={text} /></Suspense> : <Plain text={text} />)}
      </Bubble>
    </div>
  )
})

function Plain ({ text }: { text: string }) {
  return <p className='plain'>{text}</p>
}

function nameOf ({ username }: Message) {
  return username ?? words.chat.someone
}

/** The day, above the first message of it. */
function separatorFor ({ created_at: at }: Message, before: Message | undefined) {
  const day = dayOf(at)
  return before === undefined || dayOf(before.created_at) !== day ? day : undefined
}
