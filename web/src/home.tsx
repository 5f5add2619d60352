import { useEffect, useState, useSyncExternalStore } from 'react'
import type { Profile } from './api/shapes.ts'
import { openSocket, type LiveSocket } from './api/live.ts'
import { forgetUser, queries } from './api/queries.ts'
import { AccountPage } from './account/account.tsx'
import { ConversationList } from './chat/conversation-list.tsx'
import { ConversationPage } from './chat/conversation.tsx'
import { NewConversation } from './chat/new-conversation.tsx'
import type { Route } from './route.ts'
import { forgetDrafts } from './ui/drafts.ts'
import { words } from './words.ts'

/** How long a connection may be lost before the page says so, in milliseconds. */
const OFFLINE_AFTER_MS = 1_500

/** The screen of a signed-in user: the list of conversations, and beside it the open one. */
export default function Home ({ me, route }: { me: Profile, route: Route }) {
  const { socket, isOffline } = useSocket()
  useEffect(() => forgetDrafts(me.id), [me.id])
  const isAtList = ['home', 'forgot', 'invite', 'reset-password', 'sign-in-failed'].includes(route.at)
  const isListAlone = !useIsWide() && isAtList
  return (
    <div className={isAtList ? 'home at-list' : 'home'}>
      <div className='list-frame' role={isListAlone ? 'main' : undefined}>
        {isListAlone && <h1 className='visually-hidden'>{words.chat.conversations}</h1>}
        <ConversationList me={me} selected={route.at === 'conversation' ? route.id : undefined} />
      </div>
      <div className='open'>
        <div role='status'>{isOffline && <p className='offline'>{words.offline}</p>}</div>
        {socket !== undefined && (
          route.at === 'conversation'
            ? <ConversationPage key={route.id} id={route.id} me={me} socket={socket} />
            : route.at === 'account' ? <AccountPage me={me} /> : <NewConversation me={me} />
        )}
      </div>
    </div>
  )
}

/** Whether the list and what is open fit beside each other. The style sheet has the same width. */
const WIDE = window.matchMedia('(min-width: 52rem)')

function useIsWide () {
  return useSyncExternalStore(changed => {
    WIDE.addEventListener('change', changed)
    return () => WIDE.removeEventListener('change', changed)
  }, () => WIDE.matches)
}

function useSocket () {
  const [socket, setSocket] = useState<LiveSocket>()
  const [isOffline, setIsOffline] = useState(false)
  useEffect(() => {
    const opened = openSocket(forgetUser)
    let telling: ReturnType<typeof setTimeout>
    const tellSoon = () => { telling = setTimeout(setIsOffline, OFFLINE_AFTER_MS, true) }
    let wasAway = false
    opened.on('connect', () => {
      clearTimeout(telling)
      setIsOffline(false)
      if (wasAway) queries.invalidateQueries()
    })
    opened.on('disconnect', () => {
      wasAway = true
      tellSoon()
    })
    tellSoon()
    setSocket(opened)
    return () => {
      clearTimeout(telling)
      opened.close()
      setSocket(undefined)
    }
  }, [])
  return { socket, isOffline }
}
