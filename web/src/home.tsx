import { useEffect, useState } from 'react'
import type { Profile } from './api/shapes.js'
import { openSocket, type LiveSocket } from './api/live.js'
import { forgetUser, queries } from './api/queries.js'
import { AccountPage } from './account/account.js'
import { ConversationList } from './chat/conversation-list.js'
import { ConversationPage } from './chat/conversation.js'
import { NewConversation } from './chat/new-conversation.js'
import type { Route } from './route.js'
import { words } from './words.js'

/** How long a connection may be away before anybody is told, in milliseconds. */
const QUIET = 1_500

/** For whoever is logged in: the conversations beside what is open. */
export default function Home ({ me, route }: { me: Profile, route: Route }) {
  const { socket, isOffline } = useSocket()
  const isAtList = route.at === 'home' || route.at === 'forgot'
  return (
    <div className={isAtList ? 'home at-list' : 'home'}>
      <ConversationList me={me} selected={route.at === 'conversation' ? route.id : undefined} />
      <div className='open'>
        <div role='status'>{isOffline && <p className='offline'>{words.offline}</p>}</div>
        {socket !== undefined && (
          route.at === 'conversation'
            ? <ConversationPage key={route.id} id={route.id} me={me} socket={socket} />
            : route.at === 'account' ? <AccountPage me={me} /> : <NewConversation />
        )}
      </div>
    </div>
  )
}

function useSocket () {
  const [socket, setSocket] = useState<LiveSocket>()
  const [isOffline, setIsOffline] = useState(false)
  useEffect(() => {
    const opened = openSocket(forgetUser)
    let telling: ReturnType<typeof setTimeout>
    const tellSoon = () => { telling = setTimeout(setIsOffline, QUIET, true) }
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
