import { createContext, use, useId, useLayoutEffect, useRef, useState, type ComponentProps, type ReactNode } from 'react'
import { flushSync } from 'react-dom'
import { ParleyError } from 'parley'
import { inWords } from '../api/in-words.ts'
import { useAction } from '../api/use-action.ts'
import { readPhoneNumber } from '../../../src/text/phone-number.ts'
import { words } from '../words.ts'
import { isComposing } from './keyboard.ts'

type Values = Record<string, string>
/** Returns what is wrong with a value, in a sentence that says what to do, or undefined. */
export type Check = (value: string) => string | undefined

interface FormState { problems: Values, forgive: (name: string) => void }
const FormContext = createContext<FormState>({ problems: {}, forgive () {} })

interface FormProps {
  /** Handles the values of the fields. If it throws, the error is shown below the field that it is about, or below all. */
  action: (values: Values) => Promise<unknown>
  checks?: Record<string, Check>
  submit: string
  /** Shown when `action` has succeeded. */
  done?: string
  /** Fields to empty when `action` has succeeded. */
  clears?: string[]
  isDanger?: boolean
  className?: string
  children: ReactNode
}

/** The fields that errors without `details` are about, by code: of several, the first that the form has. */
const FIELDS_OF_CODES: Record<string, string[]> = {
  WRONG_PASSWORD: ['current_password', 'password'],
  INVALID_PASSWORD: ['password'],
  INVALID_USERNAME: ['username'],
  USERNAME_TAKEN: ['username'],
  USER_NOT_FOUND: ['username'],
  EMAIL_TAKEN: ['email'],
  BOT_NOT_FOUND: ['bot']
}

export function Form ({ action, checks = {}, submit, done, clears = [], isDanger, className = '', children }: FormProps) {
  const form = useRef<HTMLFormElement>(null)
  const [problems, setProblems] = useState<Values>({})
  const work = useAction({
    mutationFn: action,
    onSuccess () {
      for (const name of clears) {
        const field = form.current?.elements.namedItem(name)
        if (field instanceof HTMLInputElement) field.value = ''
      }
    },
    onError (error) {
      if (!(error instanceof ParleyError)) return
      const named = error.details[0]?.path
      const fields = named === undefined ? FIELDS_OF_CODES[error.code] ?? [] : [named]
      const field = fields.find(isField)
      if (field !== undefined) show({ [field]: (named !== undefined && sentenceFor(field)) || inWords(error) })
    }
  })

  const isField = (name: string) => form.current?.elements.namedItem(name) instanceof HTMLElement
  /** The page's own sentence for a field. The server's begins with the field's name in JSON, and cannot be translated. */
  const sentenceFor = (name: string) => {
    const sentence = (words.fields as Record<string, unknown>)[name]
    return typeof sentence === 'string' ? sentence : undefined
  }

  function show (found: Values) {
    flushSync(() => setProblems(found)) // the problem must be there before we scroll to it
    const first = Array.from(form.current!.elements).find(element => (element as HTMLInputElement).name in found)
    if (!(first instanceof HTMLElement)) return
    first.focus()
    intoView(first.closest('.field'))
  }

  function onSubmit (event: { preventDefault: () => void }) {
    event.preventDefault()
    if (work.isPending) return
    const values = Object.fromEntries(Array.from(new FormData(form.current!), ([name, value]) => [name, String(value)]))
    const found = Object.entries(checks).flatMap(([name, check]) => {
      const problem = check(values[name] ?? '')
      return problem === undefined ? [] : [[name, problem]]
    })
    if (found.length > 0) return show(Object.fromEntries(found))
    setProblems({})
    work.mutate(values)
  }

  const state: FormState = { problems, forgive: name => setProblems(({ [name]: _forgiven, ...rest }) => rest) }
  return (
    <FormContext value={state}>
      <form
        ref={form} className={`form ${className}`} onSubmit={onSubmit} noValidate
        onKeyDown={event => { if (event.key === 'Enter' && isComposing(event)) event.preventDefault() }}
      >
        {children}
        {work.isError && Object.keys(problems).length === 0 && <p className='problem' role='alert' ref={intoView}>{inWords(work.error)}</p>}
        {work.isSuccess && done !== undefined && <p className='done' role='status'>{done}</p>}
        <button className={isDanger ? 'button danger' : 'button primary'} aria-busy={work.isPending}>{submit}</button>
      </form>
    </FormContext>
  )
}

/** Scrolls as little as possible. Without this, on a small screen a problem may be out of sight, below the field or the button. */
function intoView (element: Element | null) {
  element?.scrollIntoView({ block: 'nearest' })
}

interface FieldProps extends ComponentProps<'input'> { name: string, label: string, hint?: string }

/**
 * A labelled input with its hint or problem below; with options as children, a list to choose from. When the default value changes, because
 * it was changed elsewhere, an input that was not edited shows the new one: the old one would be saved again with the rest of the form.
 */
export function Field ({ label, hint, children, ...input }: FieldProps) {
  const id = useId()
  const { problems, forgive } = use(FormContext)
  const problem = problems[input.name]
  // React tells the browser that the first value was typed, so the browser does not show another default by itself.
  const field = useRef<HTMLInputElement>(null)
  const shown = useRef(input.defaultValue)
  useLayoutEffect(() => {
    if (field.current !== null && field.current.value === shown.current) field.current.value = String(input.defaultValue ?? '')
    shown.current = input.defaultValue
  }, [input.defaultValue])
  const described = {
    id,
    'aria-invalid': problem !== undefined,
    'aria-describedby': `${id}-about`,
    onInput () { if (problem !== undefined) forgive(input.name) }
  }
  return (
    <div className='field'>
      <label htmlFor={id}>{label}</label>
      {children === undefined
        ? <input ref={field} {...input} {...described} dir={input.type === undefined ? 'auto' : undefined} />
        : <select {...described} name={input.name}>{children}</select>}
      <p id={`${id}-about`} className={problem === undefined ? 'hint' : 'problem'}>{problem ?? hint}</p>
    </div>
  )
}

const length = (text: string) => [...text.trim()].length
const between = (least: number, most: number, sentence: string): Check => value => length(value) < least || length(value) > most ? sentence : undefined

export const checks = {
  required: (value => value === '' ? words.fields.required : undefined) as Check,
  text: (value => value.trim() === '' ? words.fields.required : undefined) as Check,
  username: between(3, 64, words.fields.username),
  password: between(8, 128, words.fields.password),
  phone: (value => {
    const { reason } = readPhoneNumber(value)
    return reason === undefined ? undefined : words.fields.phone(reason)
  }) as Check,
  email: (value => /^[^@\s]+@[^@\s]+$/.test(value.trim()) ? undefined : words.fields.email) as Check,
  optional: (check: Check): Check => value => value.trim() === '' ? undefined : check(value)
}
