import { useEffect, useRef } from 'react'
import { useMutation } from '@tanstack/react-query'
import { api, ask } from '../api/client.ts'
import type { Conversation, Message, Profile } from '../api/shapes.ts'
import { forgetUser, queries, useConversations } from '../api/queries.ts'
import { go, pathTo } from '../route.ts'
import { forgetDrafts } from '../ui/drafts.ts'
import { Icon } from '../ui/icon.tsx'
import { shortly } from '../ui/time.ts'
import { words } from '../words.ts'
import { ConfirmEmail } from './confirm-email.tsx'
import { previewOf } from './preview.ts'

/** The conversations, last used first. More are loaded while the user scrolls. */
export function ConversationList ({ me, selected }: { me: Profile, selected: number | undefined }) {
  const { data: conversations, error, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = useConversations()
  const signOut = useMutation({
    mutationFn: () => ask(api.POST('/api/logout')),
    onSuccess () {
      forgetUser()
      forgetDrafts()
      queries.removeQueries({ queryKey: ['was signed out'] })
      go(pathTo.home)
    }
  })
  return (
    <nav className='sidebar' aria-label={words.chat.conversations}>
      <header className='sidebar-head'>
        <a className='brand' href={pathTo.home}><span className='brand-mark' aria-hidden='true' />{words.name}</a>
        <a className='icon-button' href={pathTo.new} aria-label={words.chat.new} title={words.chat.new} data-focus-fallback><Icon name='plus' /></a>
      </header>
      <ConfirmEmail me={me} />
      <div className='sidebar-list'>
        {conversations === undefined && error === null && <p className='empty' role='status'>{words.loading}</p>}
        {conversations?.length === 0 && (
          <div className='empty'>
            <p>{words.chat.none}</p>
            <a className='button primary' href={pathTo.new}>{words.chat.start}</a>
          </div>
        )}
        <ul>
          {conversations?.map(conversation => <li key={conversation.id}><Entry conversation={conversation} isSelected={conversation.id === selected} /></li>)}
        </ul>
        {error !== null && (
          <div className='problem' role='alert'>{error.message} <button className='text-button' onClick={() => refetch()}>{words.tryAgain}</button></div>
        )}
        {hasNextPage && <More onSight={fetchNextPage} isBusy={isFetchingNextPage} />}
      </div>
      <footer className='sidebar-foot'>
        <a className='me' href={pathTo.account} aria-label={`${me.name ?? me.username ?? words.details.unnamed}, ${words.chat.account}`}><Icon name='person' /><span className='cut' dir='auto'>{me.name ?? me.username ?? words.details.unnamed}</span></a>
        <button className='text-button' onClick={() => signOut.mutate()}>{words.chat.signOut}</button>
      </footer>
    </nav>
  )
}

function Entry ({ conversation: { id, name, last_updated: used, messages }, isSelected }: { conversation: Conversation, isSelected: boolean }) {
  const newest = messages.at(-1)
  return (
    <a className='entry' href={pathTo.conversation(id)} aria-current={isSelected ? 'page' : undefined}>
      <span className='entry-name cut' dir='auto'>{name}</span>
      <time dateTime={used}>{shortly(used)}</time>
      <span className='entry-text cut' dir='auto'>{newest === undefined ? '' : lineOf(newest)}</span>
    </a>
  )
}

/** The newest message in one line. A reply that is being written is not loaded again at each word, so its text is left out. */
function lineOf ({ sender, status, text }: Message) {
  const state = sender === 'bot' ? words.chat.status[status] : undefined
  return status === 'streaming' || status === 'queued' ? state : previewOf(text) || state
}

/** A button that presses itself when it comes into view. */
function More ({ onSight, isBusy }: { onSight: () => void, isBusy: boolean }) {
  const button = useRef<HTMLButtonElement>(null)
  useEffect(() => {
    if (isBusy) return
    const observer = new IntersectionObserver(([entry]) => { if (entry!.isIntersecting) onSight() }, { rootMargin: '200px' })
    observer.observe(button.current!)
    return () => observer.disconnect()
  }, [isBusy, onSight])
  return <button ref={button} className='text-button more' aria-busy={isBusy} onClick={() => onSight()}>{words.more}</button>
}
