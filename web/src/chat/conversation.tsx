import { useEffect, useState, useSyncExternalStore } from 'react'
import { useMutation } from '@tanstack/react-query'
import { queries, refreshConversations, useConversation } from '../api/queries.js'
import type { Profile } from '../api/shapes.js'
import type { LiveSocket } from '../api/live.js'
import { pathTo } from '../route.js'
import { Composer } from '../ui/composer.js'
import { Icon } from '../ui/icon.js'
import { words } from '../words.js'
import { openChat, type Chat } from './chat.js'
import { Details } from './details.js'
import { firstMessageOf } from './first-message.js'
import { MessageList } from './message-list.js'

/** One conversation. */
export function ConversationPage ({ id, me, socket }: { id: number, me: Profile, socket: LiveSocket }) {
  const [chat, setChat] = useState<Chat>()
  useEffect(() => {
    const opened = openChat(id, socket, refreshConversations)
    setChat(opened)
    const first = firstMessageOf(id)
    if (first !== undefined) opened.send(first)
    return () => opened.close()
  }, [id, socket])
  return chat === undefined ? null : <OpenConversation id={id} me={me} chat={chat} />
}

function OpenConversation ({ id, me, chat }: { id: number, me: Profile, chat: Chat }) {
  const view = useSyncExternalStore(chat.subscribe, chat.read)
  const { data: conversation } = useConversation(id)
  const [isAsking, setIsAsking] = useState(false)
  const name = conversation?.name ?? ''
  useEffect(() => { if (name !== '') document.title = `${name} – ${words.name}` }, [name])

  const isAnswering = view.messages.some(({ status }) => status === 'streaming' || status === 'queued')
  const stop = useMutation({ mutationFn: chat.stop })
  return (
    <main className='chat'>
      <header className='chat-head'>
        <a className='icon-button back' href={pathTo.home} aria-label={words.back}><Icon name='back' /></a>
        <h1 className='cut'>{name}</h1>
        {conversation !== undefined && <button className='icon-button' aria-label={words.chat.details} title={words.chat.details} onClick={() => setIsAsking(true)}><Icon name='people' /></button>}
      </header>
      {view.problem !== undefined && (
        <div className='notice' role='alert'>{view.problem} <button className='text-button' onClick={() => chat.retry()}>{words.tryAgain}</button> <a href={pathTo.home}>{words.chat.conversations}</a></div>
      )}
      <MessageList view={view} chat={chat} me={me} label={name} />
      {stop.error !== null && <p className='notice' role='alert'>{stop.error.message}</p>}
      <Composer
        onSend={chat.send}
        beside={isAnswering && <button type='button' className='icon-button stop' aria-label={words.chat.stop} title={words.chat.stop} onClick={() => stop.mutate()}><Icon name='stop' /></button>}
      />
      {isAsking && conversation !== undefined && (
        <Details
          conversation={conversation} me={me}
          onClose={() => {
            setIsAsking(false)
            queries.invalidateQueries({ queryKey: ['conversation', id] })
          }}
        />
      )}
    </main>
  )
}
