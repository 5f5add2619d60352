import { useEffect, useRef } from 'react'
import { useMutation } from '@tanstack/react-query'
import { api, ask } from '../api/client.js'
import type { Conversation, Profile } from '../api/shapes.js'
import { forgetUser, queries, useConversations } from '../api/queries.js'
import { go, pathTo } from '../route.js'
import { Icon } from '../ui/icon.js'
import { shortly } from '../ui/time.js'
import { words } from '../words.js'

/** The conversations, last used first; more come as one scrolls. */
export function ConversationList ({ me, selected }: { me: Profile, selected: number | undefined }) {
  const { data: conversations, error, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = useConversations()
  const logOut = useMutation({
    mutationFn: () => ask(api.POST('/api/logout')),
    onSuccess () {
      forgetUser()
      queries.removeQueries({ queryKey: ['was logged out'] })
      go(pathTo.home)
    }
  })
  return (
    <nav className='sidebar' aria-label={words.chat.conversations}>
      <header className='sidebar-head'>
        <a className='brand' href={pathTo.home}><span className='brand-mark' aria-hidden='true' />{words.name}</a>
        <a className='icon-button' href={pathTo.new} aria-label={words.chat.new} title={words.chat.new}><Icon name='plus' /></a>
      </header>
      <div className='sidebar-list'>
        {conversations?.length === 0 && <p className='empty'>{words.chat.none}</p>}
        <ul>
          {conversations?.map(conversation => <li key={conversation.id}><Entry conversation={conversation} isSelected={conversation.id === selected} /></li>)}
        </ul>
        {error !== null && (
          <div className='problem' role='alert'>{error.message} <button className='text-button' onClick={() => refetch()}>{words.tryAgain}</button></div>
        )}
        {hasNextPage && <More onSight={fetchNextPage} isBusy={isFetchingNextPage} />}
      </div>
      <footer className='sidebar-foot'>
        <a className='me' href={pathTo.account} aria-label={`${me.name ?? me.username}, ${words.chat.account}`}><Icon name='person' /><span className='cut'>{me.name ?? me.username}</span></a>
        <button className='text-button' onClick={() => logOut.mutate()}>{words.chat.logOut}</button>
      </footer>
    </nav>
  )
}

function Entry ({ conversation: { id, name, last_updated: used, messages }, isSelected }: { conversation: Conversation, isSelected: boolean }) {
  return (
    <a className='entry' href={pathTo.conversation(id)} aria-current={isSelected ? 'page' : undefined}>
      <span className='entry-name cut'>{name}</span>
      <time dateTime={used}>{shortly(used)}</time>
      <span className='entry-text cut'>{messages.at(-1)?.text.slice(0, 200)}</span>
    </a>
  )
}

/** A button that presses itself when it comes into sight. */
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
