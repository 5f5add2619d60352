import { useState } from 'react'
import { queries } from '../api/cache.ts'
import { API_URL, parley } from '../api/parley.ts'
import { useSettings } from '../api/queries.ts'
import { go, pathTo } from '../route.ts'
import { checks, Field, Form } from '../ui/form.tsx'
import { words } from '../words.ts'

type Values = Record<string, string>

async function signIn ({ username, password }: Values) {
  const me = await parley.signIn({ username: username!, password: password! })
  queries.removeQueries({ queryKey: ['was signed out'] })
  queries.setQueryData(['me'], me)
}

async function signUp ({ username, password, email }: Values, invitation: string | undefined) {
  const address = email!.trim() === '' ? {} : { email: email! }
  await parley.request('post', '/api/signup', { body: { username: username!, password: password!, ...address, ...invitation !== undefined && { invitation } } })
  await signIn({ username: username!, password: password! })
  if (invitation !== undefined) go(pathTo.home, { replaces: true }) // the link is used up
}

/** Signs in with the OpenID Connect provider or with a password, where the server allows it. */
export function SignIn ({ invitation }: { invitation: string | undefined }) {
  const { data: settings } = useSettings()
  const provider = settings?.oidc
  const mayUsePasswords = settings?.passwords !== false
  if (!provider && !mayUsePasswords) return null // users come with tokens of their app
  return (
    <section className='card' aria-labelledby='by-account'>
      <h2 id='by-account'>{words.start.accountTitle}</h2>
      {provider && <a className='button primary provider' dir='auto' href={addressOfStart()}>{words.start.continueWith(provider.name)}</a>}
      {provider && mayUsePasswords && <p className='or'>{words.start.or}</p>}
      {mayUsePasswords && <WithPassword signup={settings?.signup} invitation={invitation} />}
    </section>
  )
}

/** Where signing in with the provider begins. It ends at the place of the page that is open now. */
function addressOfStart () {
  const { hash } = window.location
  return `${API_URL}/api/oidc/start?${new URLSearchParams({ return_to: /^#\/[!-~]{0,400}$/.test(hash) ? hash : pathTo.home })}`
}

interface WithPasswordProps { signup: 'open' | 'closed' | 'invite' | undefined, invitation: string | undefined }

/** Signs in, or creates an account and signs in. Signing up is only offered if the server allows it to this visitor. */
function WithPassword ({ signup, invitation }: WithPasswordProps) {
  const maySignUp = signup === 'open' || (signup === 'invite' && invitation !== undefined)
  const [choice, setChoice] = useState(invitation !== undefined)
  const isNew = choice && maySignUp
  return (
    <>
      {maySignUp && (
        <div className='switch' role='group' aria-labelledby='by-account'>
          <button aria-pressed={!isNew} onClick={() => setChoice(false)}>{words.start.signIn}</button>
          <button aria-pressed={isNew} onClick={() => setChoice(true)}>{words.start.signUp}</button>
        </div>
      )}
      {signup !== undefined && signup !== 'open' && !maySignUp && <p>{signup === 'invite' ? words.start.byInvitation : words.start.signupClosed}</p>}
      {isNew
        ? (
          <Form key='new' submit={words.start.signUp} action={values => signUp(values, invitation)} checks={{ username: checks.username, password: checks.password, email: checks.optional(checks.email) }}>
            <Field name='username' label={words.start.username} autoComplete='username' autoCapitalize='none' spellCheck={false} />
            <Field name='password' type='password' label={words.start.newPassword} hint={words.start.passwordHint} autoComplete='new-password' />
            <Field name='email' type='email' label={words.start.email} hint={words.start.emailHint} autoComplete='email' />
          </Form>
          )
        : (
          <Form key='known' submit={words.start.signIn} action={signIn} checks={{ username: checks.required, password: checks.required }}>
            <Field name='username' label={words.start.username} autoComplete='username' autoCapitalize='none' spellCheck={false} />
            <Field name='password' type='password' label={words.start.password} autoComplete='current-password' />
          </Form>
          )}
      {!isNew && <p className='aside'><a href={pathTo.forgot}>{words.start.forgot}</a></p>}
    </>
  )
}
