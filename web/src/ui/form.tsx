import { createContext, use, useId, useRef, useState, type ComponentProps, type ReactNode } from 'react'
import { useMutation } from '@tanstack/react-query'
import { isRefusal } from '../api/client.js'
import { words } from '../words.js'

type Values = Record<string, string>
/** What is wrong with a field, in a sentence that says what to do. */
export type Check = (value: string) => string | undefined

interface FormState { problems: Values, forgive: (name: string) => void }
const FormContext = createContext<FormState>({ problems: {}, forgive () {} })

interface FormProps {
  /** What to do with what was typed. Whatever it is refused for stands beside its field, or below. */
  action: (values: Values) => Promise<unknown>
  checks?: Record<string, Check>
  submit: string
  /** What is said when it is done. */
  done?: string
  /** The fields that are empty again when it is done. */
  clears?: string[]
  isDanger?: boolean
  className?: string
  children: ReactNode
}

export function Form ({ action, checks = {}, submit, done, clears = [], isDanger, className = '', children }: FormProps) {
  const form = useRef<HTMLFormElement>(null)
  const [problems, setProblems] = useState<Values>({})
  const work = useMutation({
    mutationFn: action,
    onSuccess () {
      for (const name of clears) {
        const field = form.current?.elements.namedItem(name)
        if (field instanceof HTMLInputElement) field.value = ''
      }
    },
    onError (error) {
      if (isRefusal(error) && isField(error.field)) show({ [error.field]: sentenceFor(error.field) ?? error.message })
    }
  })

  const isField = (name: string | undefined): name is string => form.current?.elements.namedItem(name ?? '') instanceof HTMLElement
  /** The server's own sentence about a field is for programmers. */
  const sentenceFor = (name: string) => (words.fields as Record<string, unknown>)[name] as string | undefined

  function show (found: Values) {
    setProblems(found)
    const first = Array.from(form.current!.elements).find(element => (element as HTMLInputElement).name in found)
    if (first instanceof HTMLElement) first.focus()
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
      <form ref={form} className={`form ${className}`} onSubmit={onSubmit} noValidate>
        {children}
        {work.isError && Object.keys(problems).length === 0 && <p className='problem' role='alert'>{work.error.message}</p>}
        {work.isSuccess && done !== undefined && <p className='done' role='status'>{done}</p>}
        <button className={isDanger ? 'button danger' : 'button primary'} aria-busy={work.isPending}>{submit}</button>
      </form>
    </FormContext>
  )
}

interface FieldProps extends ComponentProps<'input'> { name: string, label: string, hint?: string }

export function Field ({ label, hint, ...input }: FieldProps) {
  const id = useId()
  const { problems, forgive } = use(FormContext)
  const problem = problems[input.name]
  return (
    <div className='field'>
      <label htmlFor={id}>{label}</label>
      <input
        {...input} id={id} aria-invalid={problem !== undefined} aria-describedby={`${id}-about`}
        onInput={() => { if (problem !== undefined) forgive(input.name) }}
      />
      <p id={`${id}-about`} className={problem === undefined ? 'hint' : 'problem'}>{problem ?? hint}</p>
    </div>
  )
}

const length = (text: string) => [...text.trim()].length
const between = (least: number, most: number, sentence: string): Check => value => length(value) < least || length(value) > most ? sentence : undefined

export const checks = {
  required: (value => value === '' ? words.fields.required : undefined) as Check,
  username: between(3, 64, words.fields.username),
  password: between(8, 128, words.fields.password),
  phone: (value => /^\+?\d{3,15}$/.test(value.replace(/[\s.\p{Pd}()[\]{}]/gu, '')) ? undefined : words.fields.phone) as Check,
  email: (value => /^[^@\s]+@[^@\s]+$/.test(value.trim()) ? undefined : words.fields.email) as Check,
  optional: (check: Check): Check => value => value.trim() === '' ? undefined : check(value)
}
