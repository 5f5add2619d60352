import { useEffect, useState, type ReactNode } from 'react'
import { useMutation } from '@tanstack/react-query'
import { forgetUser, queries } from '../api/cache.ts'
import { inWords } from '../api/in-words.ts'
import { parley } from '../api/parley.ts'
import { pathTo } from '../route.ts'
import { checks, Field, Form } from '../ui/form.tsx'
import { words } from '../words.ts'

// The screens that links in emails lead to, and the one that requests such a link.

export function Forgot () {
  return (
    <Page title={words.recovery.forgotTitle}>
      <p>{words.recovery.forgotText}</p>
      <Form submit={words.recovery.send} done={words.recovery.sent} checks={{ email: checks.email }} action={({ email }) => parley.request('post', '/api/password/forgot', { body: { email: email! } })}>
        <Field name='email' type='email' autoComplete='email' label={words.recovery.email} data-focus-fallback />
      </Form>
      <p className='aside'><a href={pathTo.home}>{words.recovery.toStart}</a></p>
    </Page>
  )
}

export function ResetPassword ({ token }: { token: string }) {
  const [isDone, setIsDone] = useState(false)
  const reset = async ({ password }: Record<string, string>) => {
    await parley.request('post', '/api/password/reset', { body: { token, password: password! } })
    forgetUser({ isWanted: true }) // all sessions have ended
    setIsDone(true)
  }
  if (isDone) {
    return (
      <Page title={words.recovery.resetDoneTitle}>
        <p role='status'>{words.recovery.resetDone}</p>
        <a className='button primary' href={pathTo.home} data-focus-fallback>{words.start.signIn}</a>
      </Page>
    )
  }
  return (
    <Page title={words.recovery.resetTitle}>
      <Form submit={words.recovery.reset} checks={{ password: checks.password }} action={reset}>
        <Field name='password' type='password' autoComplete='new-password' label={words.start.newPassword} hint={words.start.passwordHint} />
      </Form>
      <p className='aside'><a href={pathTo.home}>{words.start.signIn}</a> · <a href={pathTo.forgot}>{words.recovery.newLink}</a></p>
    </Page>
  )
}

export function VerifyEmail ({ token }: { token: string }) {
  const { mutate, isSuccess, error } = useMutation({
    mutationFn: () => parley.request('post', '/api/email/verify', { body: { token } }),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['me'] })
  })
  useEffect(() => mutate(), [mutate])
  return (
    <Page title={isSuccess ? words.recovery.verified : words.recovery.verifyTitle}>
      {error !== null && <p className='problem' role='alert'>{inWords(error)}</p>}
      {error === null
        ? <a className='button primary' href={pathTo.home}>{words.recovery.continue}</a>
        : <p className='aside'><a href={pathTo.account}>{words.recovery.newMail}</a></p>}
    </Page>
  )
}

function Page ({ title, children }: { title: string, children: ReactNode }) {
  return (
    <main className='welcome narrow'>
      <section className='card'>
        <h1>{title}</h1>
        {children}
      </section>
    </main>
  )
}
