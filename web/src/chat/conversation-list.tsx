import { useEffect, useEffectEvent, useLayoutEffect, useRef } from 'react'
import { useMutation } from '@tanstack/react-query'
import type { ListedConversation, Message, Profile } from 'parley'
import { useConversations } from 'parley/react'
import { forgetUser } from '../api/cache.ts'
import { inWords, problemOf } from '../api/in-words.ts'
import { parley } from '../api/parley.ts'
import { useAction } from '../api/use-action.ts'
import { go, pathTo } from '../route.ts'
import { forgetDrafts } from '../ui/drafts.ts'
import { Icon } from '../ui/icon.tsx'
import { useNewDay } from '../ui/new-day.ts'
import { shortly } from '../ui/time.ts'
import { setUnread } from '../ui/title.ts'
import { useIsVisible } from '../ui/visible.ts'
import { words } from '../words.ts'
import { ConfirmEmail } from './confirm-email.tsx'
import { MOST_CHARACTERS, previewOf } from './preview.ts'

/** The conversations, last used first. More are loaded while the user scrolls. */
export function ConversationList ({ me, selected }: { me: Profile, selected: number | undefined }) {
  const list = useConversations()
  const { conversations, isLoaded, hasMore, more } = list
  const older = useMutation({ mutationFn: more })
  const problem = problemOf(list)
  const signOut = useAction({
    mutationFn: () => parley.signOut(),
    onSuccess () {
      forgetUser({ isWanted: true })
      forgetDrafts()
      go(pathTo.home)
    }
  })
  // If the button "Load more" has the focus when more conversations are loaded, the first of them gets it, so that Tab does not skip them.
  const entries = useRef<HTMLUListElement>(null)
  const goesOnAt = useRef<number>(undefined)
  useLayoutEffect(() => {
    if (goesOnAt.current === undefined || conversations.length <= goesOnAt.current) return
    entries.current!.children[goesOnAt.current]!.querySelector('a')!.focus()
    goesOnAt.current = undefined
  }, [conversations.length])
  useNewDay()
  const isVisible = useIsVisible()
  // What is open in front of the user is about to be marked as read.
  const unreadOf = ({ id, unread }: ListedConversation) => id === selected && isVisible ? 0 : unread
  const unread = conversations.filter(conversation => unreadOf(conversation) > 0).length
  useEffect(() => {
    setUnread(unread)
    return () => setUnread(0)
  }, [unread])
  return (
    <nav className='sidebar' aria-label={words.chat.conversations}>
      <header className='sidebar-head'>
        <a className='brand' href={pathTo.home}><span className='brand-mark' aria-hidden='true' />{words.name}</a>
        <a className='icon-button' href={pathTo.new} aria-label={words.chat.new} title={words.chat.new} data-focus-fallback><Icon name='plus' /></a>
      </header>
      <ConfirmEmail me={me} />
      <div className='sidebar-list'>
        {!isLoaded && problem === undefined && <p className='empty' role='status'>{words.loading}</p>}
        {isLoaded && conversations.length === 0 && (
          <div className='empty'>
            <p>{words.chat.none}</p>
            <a className='button primary' href={pathTo.new}>{words.chat.start}</a>
          </div>
        )}
        <ul ref={entries}>
          {conversations.map(conversation => <li key={conversation.id}><Entry conversation={conversation} unread={unreadOf(conversation)} isSelected={conversation.id === selected} /></li>)}
        </ul>
        {problem !== undefined && <Problem error={problem} onAgain={parley.reconnect} />}
        {older.error !== null && <Problem error={older.error} onAgain={older.mutate} />}
        {hasMore && older.error === null && <More onSight={older.mutate} isBusy={older.isPending} onFocus={isFocused => { goesOnAt.current = isFocused ? conversations.length : undefined }} />}
      </div>
      {signOut.error !== null && <p className='problem' role='alert'>{words.chat.stillSignedIn} {inWords(signOut.error)}</p>}
      <footer className='sidebar-foot'>
        <a className='me' href={pathTo.account} aria-label={`${me.name ?? me.username ?? words.details.unnamed}, ${words.chat.account}`}><Icon name='person' /><span className='cut' dir='auto'>{me.name ?? me.username ?? words.details.unnamed}</span></a>
        <button className='text-button' onClick={() => signOut.mutate()}>{words.chat.signOut}</button>
      </footer>
    </nav>
  )
}

function Problem ({ error, onAgain }: { error: Error, onAgain: () => void }) {
  return <div className='problem' role='alert'>{inWords(error)} <button className='text-button' onClick={() => onAgain()}>{words.tryAgain}</button></div>
}

interface EntryProps { conversation: ListedConversation, unread: number, isSelected: boolean }

function Entry ({ conversation: { id, name, last_updated: used, newest }, unread, isSelected }: EntryProps) {
  return (
    <a className='entry' href={pathTo.conversation(id)} aria-current={isSelected ? 'page' : undefined}>
      <span className='entry-name cut' dir='auto'>{name}</span>
      <time dateTime={used}>{shortly(used)}</time>
      <span className='entry-text cut' dir='auto'>{newest === undefined ? '' : lineOf(newest)}</span>
      {unread > 0 && <span className='unread'>{words.chat.unread(unread)}<span className='visually-hidden'> {words.chat.unreadMessages(unread)}</span></span>}
    </a>
  )
}

/** The newest message in one line. A reply that is being written is not loaded again at each word, so its text is left out. */
function lineOf ({ sender, status, text }: Message) {
  const state = sender === 'bot' ? words.chat.status[status] : undefined
  if (status === 'streaming' || status === 'queued') return state
  // The text of a user is no Markdown: it is shown as it was written.
  return (sender === 'user' ? text.slice(0, MOST_CHARACTERS) : previewOf(text)) || state
}

/** A button that presses itself when it comes into view. */
function More ({ onSight, isBusy, onFocus }: { onSight: () => void, isBusy: boolean, onFocus: (isFocused: boolean) => void }) {
  const button = useRef<HTMLButtonElement>(null)
  // React tells nothing of the focus that is lost when the button disappears, such as for a problem.
  const lost = useEffectEvent(() => onFocus(false))
  useEffect(() => () => lost(), [])
  useEffect(() => {
    if (isBusy) return
    const observer = new IntersectionObserver(([entry]) => { if (entry!.isIntersecting) onSight() }, { rootMargin: '200px' })
    observer.observe(button.current!)
    return () => observer.disconnect()
  }, [isBusy, onSight])
  return <button ref={button} className='text-button more' aria-busy={isBusy} onClick={() => onSight()} onFocus={() => onFocus(true)} onBlur={() => onFocus(false)}>{words.more}</button>
}
