import { useState } from 'react'
import type { Profile } from 'parley'
import { inWords } from '../api/in-words.ts'
import { parley } from '../api/parley.ts'
import { useAction } from '../api/use-action.ts'
import { Icon } from '../ui/icon.tsx'
import { words } from '../words.ts'

/** Reminds users who have signed up with an email address that they have to confirm it. */
export function ConfirmEmail ({ me }: { me: Profile }) {
  const [isDismissed, setIsDismissed] = useState(false)
  const resend = useAction({ mutationFn: () => parley.request('post', '/api/email/resend') })
  if (me.email === null || me.is_email_verified || isDismissed) return null
  return (
    <div className='notice reminder' role='status'>
      <p>{words.account.confirmEmail(me.email)}</p>
      {resend.isSuccess ? words.account.resent : <button className='text-button' aria-busy={resend.isPending} onClick={() => resend.mutate()}>{words.account.resend}</button>}
      {resend.error !== null && <p className='problem'>{inWords(resend.error)}</p>}
      <button className='icon-button small' aria-label={words.account.dismiss} title={words.account.dismiss} onClick={() => setIsDismissed(true)}><Icon name='close' /></button>
    </div>
  )
}
