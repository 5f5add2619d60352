import { lazy, Suspense, useLayoutEffect } from 'react'
import { inWords } from './api/in-words.ts'
import { useMe, useSettings } from './api/queries.ts'
import { useRoute } from './route.ts'
import { PhoneChat } from './start/phone-chat.tsx'
import { Forgot, ResetPassword, VerifyEmail } from './start/recovery.tsx'
import { Welcome } from './start/welcome.tsx'
import { setTitle } from './ui/title.ts'
import { words } from './words.ts'

// Loaded when a user is signed in, to keep the first screen small.
const Home = lazy(() => import('./home.tsx'))

/** Chooses the screen by the address and by whether somebody is signed in. */
export function App () {
  const route = useRoute()
  const { data: me, error, refetch, isFetching } = useMe()
  const { data: settings, isPending } = useSettings()
  const mayUsePasswords = settings?.passwords !== false
  useLayoutEffect(() => setTitle(words.name), [route.at]) // before the effects in which screens set titles of their own

  if (route.at === 'reset-password' && isPending) return <Loading />
  if (route.at === 'reset-password' && mayUsePasswords) return <ResetPassword key={route.token} token={route.token} />
  if (route.at === 'phone') return <PhoneChat key={route.phone} phone={route.phone} />
  if (route.at === 'verify-email') return <VerifyEmail key={route.token} token={route.token} />
  if (me === undefined && error !== null) {
    return (
      <main className='welcome narrow'>
        <section className='card'>
          <p role='alert'>{inWords(error)}</p>
          <button className='button primary' aria-busy={isFetching} onClick={() => refetch()}>{isFetching ? words.tryingAgain : words.tryAgain}</button>
        </section>
      </main>
    )
  }
  if (me === undefined || (me === null && isPending)) return <Loading />
  if (me === null && route.at === 'forgot' && mayUsePasswords) return <Forgot />
  if (me === null) return <Welcome invitation={route.at === 'invite' ? route.token : undefined} failure={route.at === 'sign-in-failed' ? route.code : undefined} />
  return <Suspense fallback={<Loading />}><Home key={me.id} me={me} route={route} /></Suspense>
}

function Loading () {
  return <main className='loading' aria-busy='true'><span className='brand-mark' aria-hidden='true' /><p>{words.loading}</p></main>
}
