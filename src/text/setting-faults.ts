interface Rule { type?: unknown, enum?: unknown, minLength?: unknown, minimum?: unknown, exclusiveMinimum?: unknown, maximum?: unknown, pattern?: unknown, description?: unknown, 'x-rule'?: unknown, 'x-secret'?: unknown }

/**
 * Describes an invalid setting in a sentence, with its value and what is allowed. The value of a setting with `x-secret` is never
 * shown. `x-rule` describes its pattern or format, as the rest of a sentence that begins with the setting's name.
 */
export function describeSettingFault (name: string, value: string, rule: Rule): string {
  const shown = rule['x-secret'] === true ? '' : `: "${value}"`
  if (Array.isArray(rule.enum)) return `${name} is "${value}"; it may be ${rule.enum.join(', ')}`
  if (rule.type === 'integer' || rule.type === 'number') return `${name} is "${value}"; it must be ${numbersOf(rule)}`
  if (rule.pattern !== undefined && String(rule.pattern).startsWith('^https?:') && !/^https?:\/\//.test(value)) return `${name} needs http:// or https:// in front${shown}`
  return `${name}${rule['x-rule'] === undefined ? ` needs at least ${String(rule.minLength)} characters` : String(rule['x-rule'])}${shown}`
}

function numbersOf ({ type, minimum, exclusiveMinimum, maximum }: Rule) {
  const kind = type === 'integer' ? 'a whole number' : 'a number'
  const from = exclusiveMinimum === undefined ? `${String(minimum)} or more` : `more than ${String(exclusiveMinimum)}`
  if (maximum === undefined) return `${kind}, ${from}`
  return exclusiveMinimum === undefined ? `${kind} from ${String(minimum)} to ${String(maximum)}` : `${kind}, ${from} and at most ${String(maximum)}`
}

/**
 * The setting that each of these names was probably meant to be: it differs by a letter, by two in a long name, by letters that are
 * swapped, or by its underscores. Or it has one word more or less than a setting that is not among the names, as OPENAI_KEY has for OPENAI_API_KEY.
 */
export function mistypedSettings (names: string[], settings: string[]): Array<{ name: string, meant: string }> {
  const plain = (name: string) => name.toUpperCase().replace(/[^A-Z]/g, '')
  const known = settings.filter(({ length }) => length >= 6)
  return names.filter(name => !settings.includes(name) && name.length >= 6).flatMap(name => {
    const given = plain(name)
    const meant = known.find(setting => isNearly(given, plain(setting))) ?? known.find(setting => !names.includes(setting) && differByAWord(name, setting))
    return meant === undefined ? [] : [{ name, meant }]
  })
}

/** Both begin with the same word. Platforms set names such as DATABASE_PUBLIC_URL, which has nothing to do with PUBLIC_URL. */
function differByAWord (one: string, other: string) {
  const [fewer, more] = [one, other].map(name => name.toUpperCase().split('_')).sort((a, b) => a.length - b.length) as [string[], string[]]
  return fewer.length > 1 && fewer.length === more.length - 1 && fewer[0] === more[0] && fewer.every(word => more.includes(word))
}

function isNearly (one: string, other: string) {
  return Math.abs(one.length - other.length) <= 2 && (distance(one, other) <= (other.length >= 9 ? 2 : 1) || sorted(one) === sorted(other))
}

function sorted (word: string) {
  return [...word].sort().join('')
}

/** How many letters must be added, removed or changed to make one word of the other (Levenshtein). */
function distance (one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, n) => n)
  for (let i = 1; i <= one.length; i++) {
    const next = [i]
    for (let j = 1; j <= other.length; j++) next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + Number(one[i - 1] !== other[j - 1])))
    row = next
  }
  return row[other.length]!
}
