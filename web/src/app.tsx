import { lazy, Suspense, useEffect } from 'react'
import { useMe } from './api/queries.js'
import { useRoute } from './route.js'
import { Forgot, ResetPassword, VerifyEmail } from './start/recovery.js'
import { Welcome } from './start/welcome.js'
import { words } from './words.js'

// What the first screen does not need comes when it is needed.
const Home = lazy(() => import('./home.js'))

/** Which screen it is. */
export function App () {
  const route = useRoute()
  const { data: me, error, refetch, isFetching } = useMe()
  useEffect(() => { document.title = words.name }, [route.at])

  if (route.at === 'reset-password') return <ResetPassword token={route.token} />
  if (route.at === 'verify-email') return <VerifyEmail token={route.token} />
  if (me === undefined && error !== null) {
    return (
      <main className='welcome narrow'>
        <section className='card'>
          <p role='alert'>{error.message}</p>
          <button className='button primary' aria-busy={isFetching} onClick={() => refetch()}>{isFetching ? words.tryingAgain : words.tryAgain}</button>
        </section>
      </main>
    )
  }
  if (me === undefined) return <Loading />
  if (me === null) return route.at === 'forgot' ? <Forgot /> : <Welcome />
  return <Suspense fallback={<Loading />}><Home key={me.id} me={me} route={route} /></Suspense>
}

function Loading () {
  return <main className='loading' aria-busy='true'><span className='visually-hidden'>{words.loading}</span></main>
}
