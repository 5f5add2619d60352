import { useEffect, useRef, useState, useSyncExternalStore } from 'react'
import type { Connection, Profile } from 'parley'
import { useConversations } from 'parley/react'
import { queries } from './api/cache.ts'
import './api/socket.ts' // with this screen, since it cannot be live without it
import { AccountPage } from './account/account.tsx'
import { ConversationList } from './chat/conversation-list.tsx'
import { ConversationPage, NoConversation } from './chat/conversation.tsx'
import { NewConversation } from './chat/new-conversation.tsx'
import type { Route } from './route.ts'
import { forgetDrafts } from './ui/drafts.ts'
import { words } from './words.ts'

/** How long a connection may be lost before the page says so, in milliseconds. */
const OFFLINE_AFTER_MS = 1_500

/** The screen of a signed-in user: the list of conversations, and beside it the open one. */
export default function Home ({ me, route }: { me: Profile, route: Route }) {
  const names = useNames(me)
  const isOffline = useIsOffline(useConversations().connection)
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
        {route.at === 'conversation'
          ? <ConversationPage key={route.id} id={route.id} me={me} names={names} />
          : route.at === 'no-conversation'
            ? <NoConversation />
            : route.at === 'account' ? <AccountPage me={me} /> : <NewConversation me={me} />}
      </div>
    </div>
  )
}

/**
 * The names under which messages of the user are loaded. A message that was loaded before the user got another name keeps the old one,
 * and is the user's all the same.
 */
function useNames ({ username, name }: Profile) {
  const current = username ?? name
  const [names, setNames] = useState([current])
  if (!names.includes(current)) setNames([...names, current])
  return names
}

/** Whether the list and what is open fit beside each other. The style sheet has the same width. */
const WIDE = window.matchMedia('(min-width: 52rem)')

function useIsWide () {
  return useSyncExternalStore(changed => {
    WIDE.addEventListener('change', changed)
    return () => WIDE.removeEventListener('change', changed)
  }, () => WIDE.matches)
}

/** Whether the connection is lost for long enough to say so. When it is back, what was read before is read again. */
function useIsOffline (connection: Connection) {
  const isAway = connection === 'connecting' || connection === 'waiting'
  const [isOffline, setIsOffline] = useState(false)
  useEffect(() => {
    if (!isAway) return
    const telling = setTimeout(setIsOffline, OFFLINE_AFTER_MS, true)
    return () => {
      clearTimeout(telling)
      setIsOffline(false)
    }
  }, [isAway])

  const wasLost = useRef(false)
  useEffect(() => {
    if (connection === 'live') {
      if (wasLost.current) queries.invalidateQueries()
      wasLost.current = false
    } else if (connection !== 'connecting' && connection !== 'closed') wasLost.current = true
  }, [connection])
  return isOffline
}
