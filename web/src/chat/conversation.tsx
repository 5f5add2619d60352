import { useEffect, useState, useSyncExternalStore } from 'react'
import { useMutation } from '@tanstack/react-query'
import { queries, useConversation, useConversations, useMembers } from '../api/queries.ts'
import type { Profile } from '../api/shapes.ts'
import type { LiveSocket } from '../api/live.ts'
import { pathTo } from '../route.ts'
import { Composer } from '../ui/composer.tsx'
import { draftOf } from '../ui/drafts.ts'
import { Icon } from '../ui/icon.tsx'
import { setTitle } from '../ui/title.ts'
import { words } from '../words.ts'
import { botTitle } from './bot-title.ts'
import { openChat, type Chat } from './chat.ts'
import { Details } from './details.tsx'
import { firstMessageOf } from './first-message.ts'
import { useMarkRead } from './mark-read.ts'
import { MessageList } from './message-list.tsx'

/** One conversation: its messages, and the composer. */
export function ConversationPage ({ id, me, socket }: { id: number, me: Profile, socket: LiveSocket }) {
  const [chat, setChat] = useState<Chat>()
  useEffect(() => {
    const opened = openChat(id, socket)
    setChat(opened)
    const first = firstMessageOf(id)
    if (first !== undefined) opened.send(first)
    return () => opened.close()
  }, [id, socket])
  return chat === undefined ? null : <OpenConversation id={id} me={me} chat={chat} />
}

function OpenConversation ({ id, me, chat }: { id: number, me: Profile, chat: Chat }) {
  const view = useSyncExternalStore(chat.subscribe, chat.read)
  const { data: conversation, isPending } = useConversation(id)
  const { data: list } = useConversations()
  const { data: { users, bots } = { users: [], bots: [] } } = useMembers(id)
  const [isShowingDetails, setIsShowingDetails] = useState(false)
  const name = (conversation ?? list?.find(listed => listed.id === id))?.name ?? ''
  useEffect(() => { if (name !== '') setTitle(`${name} – ${words.name}`) }, [name])
  useMarkRead(id, view.isOpen ? view.rev : 0)

  const isReplying = view.messages.some(({ status }) => status === 'streaming' || status === 'queued')
  const stop = useMutation({ mutationFn: chat.stop })
  useEscape(isReplying, stop.mutate)
  return (
    <main className='chat'>
      <header className='chat-head'>
        <a className='icon-button back' href={pathTo.home} aria-label={words.back} title={words.back}><Icon name='back' /></a>
        <h1 className='cut' dir='auto' aria-label={isPending && name === '' ? words.loading : undefined}>{name}</h1>
        {conversation !== undefined && <button className='icon-button' aria-label={words.chat.details} title={words.chat.details} onClick={() => setIsShowingDetails(true)}><Icon name='people' /></button>}
      </header>
      {view.problem !== undefined && (
        <div className='notice' role='alert'>{view.problem} <button className='text-button' onClick={() => chat.retry()}>{words.tryAgain}</button> <a href={pathTo.home}>{words.chat.conversations}</a></div>
      )}
      <MessageList view={view} chat={chat} me={me} bots={bots} isOwner={users.some(({ id, is_owner: owns }) => owns && id === me.id)} label={name} />
      {stop.error !== null && <p className='notice' role='alert'>{stop.error.message}</p>}
      <Composer
        draft={draftOf(me.id, id)} onSend={chat.send}
        mentionable={bots.length < 2 ? undefined : bots.map(({ name }) => ({ name, title: botTitle(name) }))}
        beside={isReplying && <button type='button' className='icon-button stop' aria-label={words.chat.stop} title={words.chat.stop} onClick={() => stop.mutate()}><Icon name='stop' /></button>}
      />
      {isShowingDetails && conversation !== undefined && (
        <Details
          conversation={conversation} me={me}
          onClose={() => {
            setIsShowingDetails(false)
            queries.invalidateQueries({ queryKey: ['conversation', id] })
          }}
        />
      )}
    </main>
  )
}

/** Calls `action` on Escape, unless something else takes the key: an open dialog, the edit form, the list of mentions. */
function useEscape (isActive: boolean, action: () => void) {
  useEffect(() => {
    if (!isActive) return
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key !== 'Escape' || event.defaultPrevented || event.isComposing || event.keyCode === 229) return
      if (document.querySelector('dialog[open]') === null) action()
    }
    window.addEventListener('keydown', onKeyDown)
    return () => window.removeEventListener('keydown', onKeyDown)
  }, [isActive, action])
}
