import { useCallback, useEffect, useState } from 'react'
import { useMutation } from '@tanstack/react-query'
import type { NewMessage, Profile } from 'parley'
import { useConversation, useConversations } from 'parley/react'
import { queries } from '../api/cache.ts'
import { inWords, problemOf } from '../api/in-words.ts'
import { parley } from '../api/parley.ts'
import { useDetails, useMembers } from '../api/queries.ts'
import { pathTo } from '../route.ts'
import { Composer } from '../ui/composer.tsx'
import { draftOf } from '../ui/drafts.ts'
import { Icon } from '../ui/icon.tsx'
import { setTitle } from '../ui/title.ts'
import { words } from '../words.ts'
import { botTitle } from './bot-title.ts'
import { Details } from './details.tsx'
import { useMarkRead } from './mark-read.ts'
import { MessageList } from './message-list.tsx'

/** One conversation: its messages, and the composer. */
export function ConversationPage ({ id, me, names }: { id: number, me: Profile, names: Array<string | null> }) {
  const chat = useConversation(id)
  const known = useConversations().find(id)
  const { data: details, isPending } = useDetails(id)
  const { data: { users, bots } = { users: [], bots: [] }, isSuccess } = useMembers(id)
  const [isShowingDetails, setIsShowingDetails] = useState(false)
  const [sent, setSent] = useState(0)
  const conversation = known ?? details
  const name = conversation?.name ?? ''
  useEffect(() => setTitle(name === '' ? words.name : `${name} – ${words.name}`), [name])
  useMarkRead(chat, (conversation?.unread ?? 0) > 0)
  const members = known?.members
  useEffect(() => {
    if (isSuccess && members !== undefined && members !== users.length) queries.invalidateQueries({ queryKey: ['members', id] })
  }, [id, isSuccess, members, users.length])

  const { isReplying } = chat
  const problem = problemOf(chat)
  const stop = useMutation({ mutationFn: chat.stop })
  const send = useCallback((message: string | NewMessage) => {
    setSent(count => count + 1)
    chat.send(message)
  }, [chat.send])
  // What could not be stopped has ended by itself, or another reply is being written.
  const { reset: forgetStop } = stop
  useEffect(forgetStop, [isReplying, forgetStop])
  useEscape(isReplying, stop.mutate)
  return (
    <main className='chat'>
      <header className='chat-head'>
        <Back />
        <h1 className='cut' dir='auto' aria-label={isPending && name === '' ? words.loading : undefined}>{name === '' && !isPending ? words.chat.unknown : name}</h1>
        {conversation !== undefined && <button className='icon-button' aria-label={words.chat.details} title={words.chat.details} onClick={() => setIsShowingDetails(true)}><Icon name='people' /></button>}
      </header>
      {problem !== undefined && (
        <div className='notice' role='alert'>{inWords(problem)} <button className='text-button' onClick={() => parley.reconnect()}>{words.tryAgain}</button> <a href={pathTo.home}>{words.chat.conversations}</a></div>
      )}
      <MessageList chat={chat} send={send} sent={sent} hasFailed={problem !== undefined} me={me} names={names} bots={bots} isOwner={users.some(({ id, is_owner: owns }) => owns && id === me.id)} label={name} />
      {stop.error !== null && <p className='notice' role='alert'>{inWords(stop.error)}</p>}
      <Composer
        draft={draftOf(me.id, id)} onSend={send}
        mentionable={bots.length < 2 ? undefined : bots.map(({ name }) => ({ name, title: botTitle(name) }))}
        beside={isReplying && <button type='button' className='icon-button stop' aria-label={words.chat.stop} title={words.chat.stop} onClick={() => stop.mutate()}><Icon name='stop' /></button>}
      />
      {isShowingDetails && (
        <Details
          id={id} name={name} me={me}
          onClose={() => {
            setIsShowingDetails(false)
            queries.invalidateQueries({ queryKey: ['conversation', id] })
          }}
        />
      )}
    </main>
  )
}

/** What an address shows that no conversation can have, such as `#/c/abc`. */
export function NoConversation () {
  return (
    <main className='chat'>
      <header className='chat-head'>
        <Back />
        <h1>{words.chat.unknown}</h1>
      </header>
      <div className='notice' role='alert'>{words.errors['CONVERSATION_NOT_FOUND']} <a href={pathTo.home}>{words.chat.conversations}</a></div>
    </main>
  )
}

function Back () {
  return <a className='icon-button back' href={pathTo.home} aria-label={words.back} title={words.back}><Icon name='back' /></a>
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
