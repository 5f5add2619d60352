const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' })
const DAY = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' })
const DAY_OF_YEAR = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' })
const DATE = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' })
const DATE_OF_YEAR = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', year: 'numeric' })
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' })
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' })

const MS_OF_DAY = 86_400_000

export const timeOf = (iso: string) => TIME.format(new Date(iso))
export const momentOf = (iso: string) => FULL.format(new Date(iso))

/** "Today", "Yesterday" or the date, as a heading above the messages of a day. Dates of other years have their year. */
export function dayOf (iso: string, now = new Date()) {
  const date = new Date(iso)
  const daysAgo = daysBetween(date, now)
  if (daysAgo > 1 || daysAgo < 0) return (isOfYear(date, now) ? DAY : DAY_OF_YEAR).format(date)
  const text = RELATIVE.format(-daysAgo, 'day')
  return text.charAt(0).toLocaleUpperCase() + text.slice(1)
}

/** A short form for lists: the time if it was today, otherwise the date. */
export function shortly (iso: string, now = new Date()) {
  const date = new Date(iso)
  if (daysBetween(date, now) === 0) return timeOf(iso)
  return (isOfYear(date, now) ? DATE : DATE_OF_YEAR).format(date)
}

const isOfYear = (date: Date, now: Date) => date.getFullYear() === now.getFullYear()

function daysBetween (one: Date, other: Date) {
  return Math.round((midnight(other) - midnight(one)) / MS_OF_DAY)
}

function midnight (date: Date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime()
}
