import { useState } from 'react'
import { api, ask } from '../api/client.js'
import { queries } from '../api/queries.js'
import { pathTo } from '../route.js'
import { checks, Field, Form } from '../ui/form.js'
import { words } from '../words.js'

type Values = Record<string, string>

async function logIn ({ username, password }: Values) {
  await ask(api.POST('/api/login', { body: { username: username!, password: password! } }))
  queries.removeQueries({ queryKey: ['was logged out'] })
  await queries.refetchQueries({ queryKey: ['me'] })
}

async function signUp ({ username, password, email }: Values) {
  const address = email!.trim() === '' ? {} : { email: email! }
  await ask(api.POST('/api/signup', { body: { username: username!, password: password!, ...address } }))
  await logIn({ username: username!, password: password! })
}

/** To log in, or to make an account, and be logged in. */
export function SignIn () {
  const [isNew, setIsNew] = useState(false)
  return (
    <section className='card' aria-labelledby='by-account'>
      <h2 id='by-account'>{words.start.accountTitle}</h2>
      <div className='switch' role='group' aria-labelledby='by-account'>
        <button aria-pressed={!isNew} onClick={() => setIsNew(false)}>{words.start.logIn}</button>
        <button aria-pressed={isNew} onClick={() => setIsNew(true)}>{words.start.signUp}</button>
      </div>
      {isNew
        ? (
          <Form key='new' submit={words.start.signUp} action={signUp} checks={{ username: checks.username, password: checks.password, email: checks.optional(checks.email) }}>
            <Field name='username' label={words.start.username} autoComplete='username' autoCapitalize='none' spellCheck={false} />
            <Field name='password' type='password' label={words.start.newPassword} hint={words.start.passwordHint} autoComplete='new-password' />
            <Field name='email' type='email' label={words.start.email} hint={words.start.emailHint} autoComplete='email' />
          </Form>
          )
        : (
          <Form key='known' submit={words.start.logIn} action={logIn} checks={{ username: checks.required, password: checks.required }}>
            <Field name='username' label={words.start.username} autoComplete='username' autoCapitalize='none' spellCheck={false} />
            <Field name='password' type='password' label={words.start.password} autoComplete='current-password' />
          </Form>
          )}
      {!isNew && <p className='aside'><a href={pathTo.forgot}>{words.start.forgot}</a></p>}
    </section>
  )
}
