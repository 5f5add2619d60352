import { lazy, memo, Suspense, useEffect, useState } from 'react'
import type { Bot, LiveConversation, Message, NewMessage, Profile, Unsent as UnsentMessage } from 'parley'
import type { useConversation } from 'parley/react'
import { inWords } from '../api/in-words.ts'
import { parley } from '../api/parley.ts'
import { useAction } from '../api/use-action.ts'
import { Bubble } from '../ui/bubble.tsx'
import { CopyButton } from '../ui/copy-button.tsx'
import { Confirm } from '../ui/dialog.tsx'
import { draftOf, readDraft } from '../ui/drafts.ts'
import { Icon } from '../ui/icon.tsx'
import { useNewDay } from '../ui/new-day.ts'
import { Scroller } from '../ui/scroller.tsx'
import { dayOf } from '../ui/time.ts'
import { Unsent } from '../ui/unsent.tsx'
import { words } from '../words.ts'
import { botTitle } from './bot-title.ts'
import { EditMessage } from './edit-message.tsx'
import { Parts } from './parts.tsx'

/** Loaded early, before there are messages to show. If that fails, the text of bots is shown unformatted. */
const markdown = import('./markdown.tsx').catch(() => ({ default: Plain }))
const Markdown = lazy(() => markdown)

/** How much of a new message screen readers announce, in characters. */
const MOST_ANNOUNCED = 500

interface MessageListProps {
  chat: ReturnType<typeof useConversation>
  send: (message: NewMessage) => void
  /** How many messages were sent here. */
  sent: number
  hasFailed: boolean
  me: Profile
  /** The names of the user's messages. */
  names: Array<string | null>
  bots: Bot[]
  isOwner: boolean
  label: string
}

export function MessageList ({ chat, send, sent, hasFailed, me, names, bots, isOwner, label }: MessageListProps) {
  const { messages, unsent, isLoaded, hasOlder } = chat
  useNewDay()
  const conversation = parley.conversation(chat.id)
  const sendAgain = (message: UnsentMessage) => {
    if (message.status === 'refused') chat.resend(message).catch(() => { /* the message says why */ })
    else parley.reconnect()
  }
  const readOlder = () => { chat.older().catch(() => { /* the button is still there */ }) }
  const isMine = ({ sender, username }: Message) => sender === 'user' && names.includes(username)
  const myLast = messages.findLast(isMine)
  const lastReply = messages.findLast(({ sender }) => sender === 'bot')
  const newest = messages.at(-1)
  // What ended last, which need not be the newest message: another reply may be queued behind it.
  const latest = messages.reduce<Message | undefined>((last, message) => isMine(message) || !hasEnded(message) || message.rev < (last?.rev ?? 0) ? last : message, undefined)
  // When a message is deleted, the one before it is not announced again.
  const [announced, setAnnounced] = useState(0)
  if (latest !== undefined && latest.rev > announced) setAnnounced(latest.rev)
  return (
    <>
      <Scroller label={label || words.chat.conversations} sent={sent} onTop={hasOlder ? readOlder : undefined}>
        {!isLoaded && !hasFailed && <p className='empty' role='status'>{words.loading}</p>}
        {hasOlder && <button ref={leaveFocus} className='text-button more' onClick={readOlder}>{words.chat.older}</button>}
        {isLoaded && messages.length === 0 && unsent.length === 0 && <p className='empty'>{words.chat.empty}</p>}
        {messages.map((message, at) => (
          <Row
            key={message.id} message={message} chat={conversation} send={send} isMine={isMine(message)} author={authorOf(message, bots)}
            day={dayAbove(message, messages[at - 1])}
            editDraft={`${draftOf(me.id, chat.id)} edit ${message.id}`} mayEdit={message === myLast} mayDelete={isOwner || isMine(message)}
            mayChoose={message === newest && unsent.length === 0}
            mayRegenerate={message === lastReply && message === newest && canReplyAgain(message, bots)}
          />
        ))}
        {unsent.map(message => (
          <Bubble
            key={message.clientId} who={words.chat.you} at={message.createdAt} isMine
            note={message.status === 'sending'
              ? <span className='quiet'>{words.chat.sending}</span>
              : <Unsent
                  problem={message.status === 'refused' ? inWords(message.error!) : words.chat.unsent}
                  onAgain={() => sendAgain(message)}
                  onDiscard={() => chat.discard(message)}
                />}
          ><Plain text={message.text!} />
          </Bubble>
        ))}
      </Scroller>
      <p className='visually-hidden' role='status'>
        {latest !== undefined && latest.rev >= announced && (
          // The key makes it a new element, since nothing is announced if a message leaves the text as it was: a bot may say the same twice.
          <span key={latest.rev}>{words.chat.announced(authorOf(latest, bots), latest.status === 'complete' ? latest.text.slice(0, MOST_ANNOUNCED) : noteOf(latest))}</span>
        )}
      </p>
    </>
  )
}

/** When the beginning has been loaded, this button disappears. If it had the focus, the list gets it, so that the next Tab leads to the first message. */
function leaveFocus (button: HTMLButtonElement) {
  return () => { if (document.activeElement === button) button.closest<HTMLElement>('.scroller-view')!.focus({ preventScroll: true }) }
}

/** Only streaming bots can regenerate a reply; the others would say the same again. A bot that is not set up cannot either. */
function canReplyAgain ({ username, failure }: Message, bots: Bot[]) {
  return failure !== 'BOT_NOT_CONFIGURED' && bots.some(({ name, streaming }) => streaming && name === username)
}

interface RowProps { message: Message, chat: LiveConversation, send: (message: NewMessage) => void, isMine: boolean, author: string, day: string | undefined, editDraft: string, mayEdit: boolean, mayDelete: boolean, mayRegenerate: boolean, mayChoose: boolean }

const Row = memo(function Row ({ message, chat, send, isMine, author, day, editDraft, mayEdit, mayDelete, mayRegenerate, mayChoose }: RowProps) {
  const { id, rev, sender, text, parts, status, failure, created_at: at } = message
  const [mode, setMode] = useState(() => mayEdit && readDraft(editDraft) !== '' ? 'edit' : undefined as 'edit' | 'delete' | undefined)
  const regenerate = useAction({ mutationFn: () => chat.regenerate(id) })
  const { reset: forgetRegenerate } = regenerate
  useEffect(forgetRegenerate, [rev, mayRegenerate, forgetRegenerate])
  const isBot = sender === 'bot'
  const isLeftOut = status !== 'failed' && failure !== undefined
  const close = () => setMode(undefined)

  const actions = hasEnded(message) && mode !== 'edit' && (
    <span className='actions'>
      {text !== '' && <CopyButton text={text} label={words.chat.copy} />}
      {mayEdit && <button className='text-button' onClick={() => setMode('edit')} data-focus-fallback><Icon name='edit' />{words.chat.edit}</button>}
      {mayRegenerate && <button className='text-button' onClick={() => regenerate.mutate()}><Icon name='again' />{words.chat.regenerate}</button>}
      {mayDelete && <button className='text-button' onClick={() => setMode('delete')}><Icon name='delete' />{words.delete}</button>}
      {regenerate.error !== null && <span className='problem' role='alert'>{inWords(regenerate.error)}</span>}
    </span>
  )
  return (
    <div data-message={id} data-focus-scope>
      {day !== undefined && <h2 className='day'>{day}</h2>}
      <Bubble
        who={isMine ? words.chat.you : author} at={at} isMine={isMine} isBot={isBot}
        note={isLeftOut || (isBot && status !== 'complete') ? <span className={`status ${status}`}>{noteOf(message)}</span> : undefined}
        actions={actions}
      >
        {mode === 'edit' && <EditMessage draft={editDraft} text={text} onClose={close} onSave={changed => chat.edit(id, changed)} />}
        {mode !== 'edit' && (!isBot
          ? <Plain text={text} />
          : parts === undefined ? <Formatted text={text} /> : <Parts parts={parts} Text={Formatted} onChoose={mayChoose ? choice => send({ text: choice.title, parts: [{ type: 'choice', ...choice }] }) : undefined} />)}
      </Bubble>
      {mode === 'delete' && <Confirm title={words.chat.deleteMessage} text={words.chat.deleteMessageText} submit={words.delete} onConfirm={() => chat.remove(id)} onClose={close} />}
    </div>
  )
})

const hasEnded = ({ status }: Message) => status !== 'streaming' && status !== 'queued'

/** The text of a bot. */
function Formatted ({ text }: { text: string }) {
  return <Suspense fallback={<Plain text={text} />}><Markdown text={text} /></Suspense>
}

function Plain ({ text }: { text: string }) {
  return <p className='plain' dir='auto'>{text}</p>
}

/** The status of a reply that is not complete, and why it failed; or that later replies ignore this message. */
function noteOf ({ status, failure }: Message) {
  if (failure !== undefined && status !== 'failed') return words.chat.leftOut
  const sentence = words.chat.status[status] ?? ''
  return failure === undefined ? sentence : `${sentence} ${words.chat.failures[failure] ?? ''}`
}

/** A server may write on the side of the bots as a human agent, whose name is shown as it is. Before the bots are known, every name there is taken for a bot's. */
function authorOf ({ sender, username }: Message, bots: Bot[]) {
  if (username === null) return words.chat.formerMember
  const isBot = sender === 'bot' && (bots.length === 0 || bots.some(({ name }) => name === username))
  return isBot ? botTitle(username) : username
}

/** The date, above the first message of a day. */
function dayAbove ({ created_at: at }: Message, before: Message | undefined) {
  const day = dayOf(at)
  return before === undefined || dayOf(before.created_at) !== day ? day : undefined
}
