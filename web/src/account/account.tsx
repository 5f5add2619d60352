import { useState } from 'react'
import { useMutation } from '@tanstack/react-query'
import type { Profile, Session } from 'parley'
import { forgetUser, queries } from '../api/cache.ts'
import { inWords } from '../api/in-words.ts'
import { API_URL, parley } from '../api/parley.ts'
import { useSessions, useSettings } from '../api/queries.ts'
import { unlessGone } from '../api/unless-gone.ts'
import { useAction } from '../api/use-action.ts'
import { pathTo } from '../route.ts'
import { Confirm } from '../ui/dialog.tsx'
import { forgetDrafts } from '../ui/drafts.ts'
import { checks, Field, Form } from '../ui/form.tsx'
import { Icon } from '../ui/icon.tsx'
import { momentOf } from '../ui/time.ts'
import { words } from '../words.ts'
import { deviceOf } from './device.ts'

/** The user's own account. */
export function AccountPage ({ me }: { me: Profile }) {
  const { data: settings } = useSettings()
  // Users of another issuer have no password.
  const hasPassword = me.issuer === null && settings?.passwords !== false
  return (
    <main className='chat account'>
      <header className='chat-head'>
        <a className='icon-button back' href={pathTo.home} aria-label={words.back} title={words.back}><Icon name='back' /></a>
        <h1 tabIndex={-1} data-focus-fallback>{words.account.title}</h1>
      </header>
      <div className='account-body'>
        <ProfileForm me={me} />
        {hasPassword && <SignInForm me={me} />}
        {hasPassword && <PasswordForm />}
        <Sessions />
        <Data hasPassword={hasPassword} />
      </div>
    </main>
  )
}

/** An empty field takes away what was there. */
const orNull = (text: string | undefined) => text === undefined || text.trim() === '' ? null : text

type Changes = NonNullable<Parameters<typeof patch>[0]>
async function patch (body: { name?: string | null, phone_number?: string | null, email?: string | null, username?: string, password?: string, current_password?: string }) {
  queries.setQueryData(['me'], await parley.request('patch', '/api/me', { body }))
}

function ProfileForm ({ me }: { me: Profile }) {
  return (
    <section className='card'>
      <h2>{words.account.profile}</h2>
      <Form submit={words.save} done={words.saved} checks={{ phone_number: checks.optional(checks.phone) }} action={({ name, phone_number: phone }) => patch({ name: orNull(name), phone_number: orNull(phone) })}>
        <Field name='name' label={words.account.displayName} defaultValue={me.name ?? ''} autoComplete='name' maxLength={100} />
        <Field name='phone_number' type='tel' label={words.account.phone} hint={words.account.phoneHint} defaultValue={me.phone_number ?? ''} autoComplete='tel' />
      </Form>
    </section>
  )
}

function SignInForm ({ me }: { me: Profile }) {
  const resend = useAction({ mutationFn: () => parley.request('post', '/api/email/resend') })
  async function change ({ username, email, current_password: password }: Record<string, string>) {
    const changes: Changes = { current_password: password! }
    if (username!.trim() !== me.username) changes.username = username!
    if (orNull(email) !== me.email) changes.email = orNull(email)
    await patch(changes)
  }
  return (
    <section className='card'>
      <h2>{words.account.signIn}</h2>
      <Form
        submit={words.save} done={words.saved} clears={['current_password']} action={change}
        checks={{ username: checks.username, email: checks.optional(checks.email), current_password: checks.required }}
      >
        <Field name='username' label={words.account.username} defaultValue={me.username ?? ''} autoComplete='username' autoCapitalize='none' spellCheck={false} />
        <Field
          name='email' type='email' label={words.account.email} defaultValue={me.email ?? ''} autoComplete='email'
          hint={me.email === null ? words.start.emailHint : me.is_email_verified ? words.account.verified : words.account.unverified}
        />
        <Field name='current_password' type='password' label={words.account.current} autoComplete='current-password' />
      </Form>
      {me.email !== null && !me.is_email_verified && (
        <p className='aside' role='status'>{resend.isSuccess ? words.account.resent : <button className='text-button' aria-busy={resend.isPending} onClick={() => resend.mutate()}>{words.account.resend}</button>} {resend.error !== null && inWords(resend.error)}</p>
      )}
    </section>
  )
}

function PasswordForm () {
  return (
    <section className='card'>
      <h2>{words.account.password}</h2>
      <p>{words.account.passwordText}</p>
      <Form
        submit={words.account.changePassword} done={words.account.passwordChanged} clears={['current_password', 'password']}
        checks={{ current_password: checks.required, password: checks.password }}
        action={({ current_password, password }) => patch({ current_password: current_password!, password: password! })}
      >
        <Field name='current_password' type='password' label={words.account.current} autoComplete='current-password' />
        <Field name='password' type='password' label={words.account.newPassword} hint={words.start.passwordHint} autoComplete='new-password' />
      </Form>
    </section>
  )
}

function Sessions () {
  const { data: sessions, error } = useSessions()
  const end = useMutation({
    mutationFn: (id: number) => unlessGone('SESSION_NOT_FOUND', parley.request('delete', '/api/me/sessions/{id}', { path: { id } })),
    onSettled: () => queries.invalidateQueries({ queryKey: ['sessions'] })
  })
  return (
    <section className='card'>
      <h2 tabIndex={-1} data-focus-fallback>{words.account.sessions}</h2>
      {(error ?? end.error) !== null && <p className='problem' role='alert'>{inWords((error ?? end.error)!)}</p>}
      <ul className='rows'>
        {sessions?.map(session => (
          <li key={session.id}>
            <Device session={session} />
            {session.is_current
              ? <span className='badge'>{words.account.thisDevice}</span>
              : <button className='text-button' onClick={() => end.mutate(session.id)}>{words.account.endSession}</button>}
          </li>
        ))}
      </ul>
    </section>
  )
}

function Device ({ session: { user_agent: agent, ip, last_used_at: used } }: { session: Session }) {
  return (
    <span className='device'>
      <span title={agent ?? undefined}>{deviceOf(agent) ?? words.account.unknownDevice}</span>
      <span className='hint'>{[ip, words.account.lastUsed(momentOf(used))].filter(Boolean).join(' · ')}</span>
    </span>
  )
}

function Data ({ hasPassword }: { hasPassword: boolean }) {
  return (
    <section className='card'>
      <h2>{words.account.data}</h2>
      <p>{words.account.exportText}</p>
      <p><a className='button' href={`${API_URL}/api/me/export`} download>{words.account.export}</a></p>
      <h3>{words.account.delete}</h3>
      <p>{hasPassword ? words.account.deleteText : words.account.deleteWithoutPassword}</p>
      {hasPassword
        ? (
          <Form submit={words.account.deleteNow} isDanger checks={{ password: checks.required }} action={({ password }) => remove({ body: { password: password! } })}>
            <Field name='password' type='password' label={words.account.current} autoComplete='current-password' />
          </Form>
          )
        : <DeleteButton />}
    </section>
  )
}

function DeleteButton () {
  const [isConfirming, setIsConfirming] = useState(false)
  return (
    <>
      <button className='button danger' onClick={() => setIsConfirming(true)}>{words.account.deleteNow}</button>
      {isConfirming && (
        <Confirm
          title={words.account.deleteTitle} text={words.account.deleteWithoutPassword} submit={words.account.deleteNow}
          onConfirm={() => remove({})} onClose={() => setIsConfirming(false)}
        />
      )}
    </>
  )
}

async function remove (options: { body?: { password: string } }) {
  await parley.request('delete', '/api/me', options as { body: { password: string } }) // a user without a password sends no body
  await parley.signOut()
  forgetUser({ isWanted: true })
  forgetDrafts()
}
