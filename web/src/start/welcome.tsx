import { useQuery } from '@tanstack/react-query'
import { checks, Field, Form } from '../ui/form.tsx'
import { go, pathTo } from '../route.ts'
import { words } from '../words.ts'
import { SignIn } from './sign-in.tsx'

/** The first screen: a chat by phone number, or signing in. `failure` is the code of the error with which a sign-in at the provider ended. */
export function Welcome ({ invitation, failure }: { invitation: string | undefined, failure: string | undefined }) {
  const wasSignedOut = useQuery({ queryKey: ['was signed out'], queryFn: () => false, enabled: false }).data
  return (
    <main className='welcome'>
      <header className='hero'>
        <p className='brand'><span className='brand-mark' aria-hidden='true' />{words.name}</p>
        <h1 tabIndex={-1} data-focus-fallback>{words.start.title}</h1>
        <p>{words.start.subtitle}</p>
      </header>
      {wasSignedOut && <p className='notice' role='status'>{words.signedOut}</p>}
      {failure !== undefined && <p className='notice' role='alert'>{words.signInFailures[failure] ?? words.signInFailures['SIGN_IN_FAILED']}</p>}
      <div className='ways'>
        <section className='card' aria-labelledby='by-phone'>
          <h2 id='by-phone'>{words.start.phoneTitle}</h2>
          <p>{words.start.phoneText}</p>
          <Form submit={words.start.startChat} checks={{ phone: checks.phone }} action={async ({ phone }) => go(pathTo.phone(phone!.trim()))}>
            <Field name='phone' type='tel' autoComplete='tel' label={words.start.phone} hint={words.start.phoneHint} />
          </Form>
        </section>
        <SignIn key={invitation} invitation={invitation} />
      </div>
    </main>
  )
}
