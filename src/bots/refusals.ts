import type { Option } from './options.ts'

// Classifies the errors with which providers refuse a request. Each provider has its own wording and JSON shape, so we look
// for error codes, names of parameters and known phrases. Fields that repeat our request are skipped: they contain what
// users wrote, which may look like any of these phrases.

/** A refusal: its HTTP status (0 if unknown), all its texts as one, and the parameters that it names in fields of their own. */
export interface ProviderRefusal { status: number, text: string, names: string[] }

/**
 * `context`: the request is too long for the model. `content`: a content filter refuses a message. `options`: these
 * options are not supported. `value`: they are supported, but not with these values. `other`: none of these.
 */
export type Meaning = { kind: 'context' | 'content' | 'other' } | { kind: 'options' | 'value', options: Option[] }

/** How much of a refusal is read, in UTF-16 units. */
const MAX_TEXT_LENGTH = 4000
const MAX_DEPTH = 8

/** Fields that repeat the request, or lead to documentation. */
const ECHOES = new Set(['input', 'inputs', 'prompt', 'body', 'request', 'failed_generation', 'flagged_input', 'documentation_url', 'url', 'stack', 'traceback'])
/** Fields that name a parameter. `loc` and `path` are lists: `["body", "messages", 0, "role"]`. */
const NAMES = new Set(['param', 'parameter', 'field', 'loc', 'path', 'property', 'argument'])

/** Reads a refusal, whether it is JSON of any shape or something else. */
export function readRefusal (status: number, body: unknown): ProviderRefusal {
  const texts: string[] = []
  const names: string[] = []
  let length = 0
  collect(body, '', 0)
  return { status, text: texts.join('\n').slice(0, MAX_TEXT_LENGTH), names }

  function collect (value: unknown, key: string, depth: number): void {
    if (depth > MAX_DEPTH || length > MAX_TEXT_LENGTH) return
    if (typeof value === 'string') return collectText(value, key, depth)
    if (Array.isArray(value) && NAMES.has(key)) return collectText(value.join('.'), key, depth)
    if (typeof value !== 'object' || value === null || ('role' in value && 'content' in value)) return
    for (const [name, each] of Object.entries(value)) {
      if (ECHOES.has(name)) continue
      // Some validators use the field's name as the key: {"stream_options": ["Unknown field."]}
      if (optionIn(name).length > 0 && UNSUPPORTED.test(JSON.stringify(each).slice(0, MAX_TEXT_LENGTH))) names.push(name)
      collect(each, Array.isArray(value) ? key : name, depth + 1)
    }
  }

  /** Gateways pass on the error of the provider behind them as JSON inside a string. */
  function collectText (text: string, key: string, depth: number): void {
    const inner = /^\s*[{[]/.test(text) ? parsed(text) : undefined
    if (inner !== undefined) return collect(inner, key, depth + 1)
    if (NAMES.has(key)) names.push(text)
    texts.push(text)
    length += text.length
  }
}

function parsed (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // plain text
  }
}

/** @see https://platform.openai.com/docs/guides/error-codes, and the providers' own pages */
const CONTEXT = new RegExp([
  'context[ _-]?(length|size|window|limit|overflow)', 'max_model_len', 'max_position_embeddings',
  '(prompt|inputs?|messages?|conversation|history|request|query|context|sequence)( content| length| tokens?)?( is| are| was| were)? (too|to) (long|large|big)',
  'too many (input |prompt )?tokens', 'maximum (allowed )?(context|prompt|input|sequence|number of (input )?tokens)',
  'token count.{0,80}exceeds?', '(tokens?|length|size)\\b.{0,40} exceed(s|ed)?\\b', 'tokens?_(limit|exceed)', '(less|fewer) than [\\d,.]+ (input |prompt )?tokens', 'longer than (the )?max', 'max(imum)? length of', 'out of memory', 'exceed(s|ed)? .{0,40}(token|length|context)',
  'inputs?`? tokens? \\+', 'max(imum)? (sequence|context|prompt|input)( length)?', 'tokens?\\b.{0,40}(greater|larger|more|higher) than', '超长', '超过.{0,10}(长度|限制|窗口)', '长度超', 'input length', 'reduce (the length|your (prompt|message|input)|the (prompt|input|number of messages))',
  'tokens? must be reduced', 'token limit', 'request too large', 'string_above_max_length', 'string too long', 'payload too large', 'request entity too large'
].join('|'), 'i')

/** Rate limits are also given in tokens (a minute). Only these phrases say that the request would be too long at any time. */
const TOO_LARGE_AT_ALL = /request too large|(message|prompt|input)( size)? (and try again|must be reduced)|tokens must be reduced|reduce your (message|prompt|input)/i

const CONTENT = new RegExp([
  'content[ _-]?(filter|policy|management|moderation|violation|exists risk|is unsafe)', 'responsible ?ai', 'data_?inspection', 'inappropriate', 'moderat(ed|ion)', 'flagged',
  '\\b(unsafe|harmful|objectionable)\\b', 'prohibited (content|use)', 'prohibited_content', 'safety (system|filter|setting|reason|check|polic|guideline)', '\\bsafety\\b.{0,20}(block|reject)', 'blocked (by|due|for|because)',
  'block_?reason', 'sensitive (content|words?|information)', 'new_sensitive', '敏感', '不安全', 'запрещ[её]нн.{1,6}(контент|содерж)', 'high[ _-]risk', 'guardrail', 'violat(e|es|ed|ing|ion).{0,60}(policy|policies|guidelines|terms)', 'polic(y|ies) violation', '\\btoxic', '\\bharm(s|_| categor)', 'usage polic(y|ies)', 'invalid_prompt',
  '\\b(prompt|message|input|content|output)( was| is| has been)? (blocked|rejected|filtered|not allowed)', 'jailbreak', 'prompt[ _]injection', '\\bnsfw\\b', 'personally identifiable',
  'recitation', '(could not|couldn.t|cannot|can.t|unable to|failed to) (process|read|parse|decode|download|open|load) .{0,40}(image|file|document|pdf|attachment|audio|video)',
  '(invalid|unsupported|corrupt(ed)?)[ _](image|file|document|pdf|attachment|audio|video)', 'image_parse', '(image|file|document|pdf|attachment|audio|video).{0,30}(could not|couldn.t|cannot|can.t) be (read|processed|parsed|decoded|downloaded|opened|loaded)'
].join('|'), 'i')

/** Statuses that are never about what a message says: there is no such model or address, or the request came at a bad time. */
const NOT_CONTENT = [404, 405, 408, 409, 410, 415]

/** Phrases for a sanction against the customer: every message would be refused. */
const ACCOUNT = /\b(account|access|organi[sz]ation|api[ _-]?key|team|project|subscription|resource|deployment)( \S+)?( is| was| has been)( \w+)? (blocked|flagged|terminated|suspended|deactivated|disabled|restricted|banned)\b|access_terminated|account_deactivated|user_blocked/i

/** Phrases for something that is unknown or not supported. */
const UNSUPPORTED = new RegExp([
  '(not|n.t|cannot|never|no longer)\\s+(yet |be |been |both |currently |a |an |is |to ){0,2}(support|allow|permit|recogni[sz]|accept|implement|enabl|avail|known|expect|valid|defined|set|used|specified|provided|combined|exist)',
  'un(support|known|recogni[sz]|expect|permitted)', '(extra|additional)[ _](input|field|propert|param|arg|forbidden|key)', 'extra_forbidden', 'invalid[ _](param|argument|field|name|role)',
  'forbidden', 'disabled', '(to|must) be absent', 'only allowed', 'only [\\d.]+ (is|are) (allowed|supported|accepted|valid)', 'no such', 'deprecated', 'verified', '(must|should|has to|needs to) be (false|removed|omitted|unset|null)', '\\b(remove|omit|unset)\\b', 'only (the )?(default|support|non)', 'only .{0,20}false', 'non-stream', 'no(t a)? (valid|parameter|field)', '不支持', '未知'
].join('|'), 'i')

/** Phrases for a value that is out of range. */
const RANGE = /(must|should|has to|can only) be (set to |equal to |exactly |one of )?\W?\d|too (large|big|high|great|small|low|many)|(less|greater|larger|smaller|more|fewer|lower|higher) than|at (most|least)|maximum|minimum|exceed|range|between|[<>≤≥]=? ?\d|_(above|below)_|limit (of|is)/i

/** How a text names an option. Lists of allowed values are removed before (see `ALLOWED`). */
const MENTIONS: Array<[Option, RegExp]> = [
  ['stream_options', /stream[_ ]?options|include_usage/i],
  ['temperature', /\btemperature\b/i],
  ['max_tokens', /max_?(completion_?|new_?|output_?)?tokens/i],
  ['user', /\b(support|allow|recogni[sz]|accept|expect|permitt)ed\W{1,3}user\b|["'`“”#/.]user["'`“”]?(?![\w/'’])|\b(param\w*|fields?|arguments?|property|properties|keywords?|options?|names?|inputs?)( (supplied|provided|passed|given|received))?\W{1,4}user\b|\buser\W{1,3}((is|are|was) )?(extra|not|un|invalid|forbidden)|\bargument[^:\n]{0,60}:[^\w\n]*user[^\w\n]*(\n|$)|^\W*user\W*$/i],
  ['stream', /\b(non-)?stream(ing|ed|s)?\b(?![_ ]options)/i]
]

/**
 * Matches the name of an option written as in code. A text with such a name is about the option, whatever else it says. A
 * limit of the answer is not listed: errors about other limits name it, too.
 */
const IDENTIFIERS: Array<[Option, RegExp]> = [
  ['stream_options', /stream_options|include_usage/i],
  ['temperature', /["'`“#/.]temperature["'`”]|\b(propert(y|ies)|fields?|param(eter)?s?|arguments?|keys?)\W{1,3}temperature\b/i],
  ['user', /["'`“#/.]user["'`”]|\b(propert(y|ies)|fields?|param(eter)?s?|arguments?|keys?)\W{1,3}user\b/i],
  ['stream', /["'`“#/.]stream["'`”]|\b(propert(y|ies)|fields?|param(eter)?s?|arguments?|keys?)\W{1,3}stream\b/i]
]

/** Statuses that blame the request itself. */
const ABOUT_REQUEST = [400, 405, 415, 422, 501]

/** Chat templates restrict which roles may follow each other. Our messages alternate, so such an error means the system role. */
const ROLE = /system[ _]?(role|prompt|message|instruction)|roles?\W{1,3}(of )?\W?(system|developer)|(system|developer)\W{1,3}(role|instruction|message)|support '?(system|developer)|\broles?\b.{0,80}(alternat|support|allow|user)|alternat.{0,60}(user|role|multiturn)|(multiturn|roles?).{0,40}alternat|messages?\W{1,2}0\W{1,2}role|(first|start|begin).{0,40}['"`]?user\b|(invalid|unexpected|unknown|unsupported) role|variant\W{1,3}(system|developer)/i
const ALLOWED = /\b(allowed|supported|valid|known|permitted|accepted|expected|available)\W+(\w+\W+){0,2}?(are|include)\b.*|\bexpected (one|any) of\b.*|\b(allowed|supported|valid|known|permitted|accepted|available)( \w+){0,2}:.*/gi
/** Matches a text that begins with the name of the limit on the answer's length. */
const LIMIT = /^[^\w\n\r\u2028\u2029]*(invalid )?\W?max_?(completion_?)?tokens\b/im
/** Match errors that say how large the context window is, and how many tokens of it the prompt takes. */
const WINDOW = /context[ _-]?(?:length|window|size|limit)\D{0,20}(\d+)/i
const PROMPT_TOKENS = /\d (input|prompt) tokens|tokens (in|of|from) (the |your )?(input|prompt|messages)/i
const UNNAMED = /(unknown|unrecogni[sz]ed|unexpected|unsupported|extra|additional)\W+(\w+\W+){0,2}?(param|field|argument|input|propert|option)/i

/** Classifies the refusal of a request that was sent with these options; `maxTokens` is its limit on the answer's length. */
export function meaningOf ({ status, text, names }: ProviderRefusal, sent: ReadonlySet<Option>, maxTokens = Infinity): Meaning {
  if ([401, 402, 407].includes(status)) return { kind: 'other' }
  const isBusy = status === 429 || status === 503 || status === 529
  if (isBusy) return { kind: TOO_LARGE_AT_ALL.test(text) ? 'context' : 'other' }
  const named = [...new Set(names.flatMap(optionIn))].filter(option => sent.has(option))
  const isOutOfRange = RANGE.test(text)
  // An answer limit that is too high is often reported in terms of the context window. A shorter history helps only if the limit
  // is below the window, so that it is the prompt that leaves too little room for the answer.
  const isCrowded = Number(WINDOW.exec(text)?.[1]) > maxTokens && PROMPT_TOKENS.test(text)
  const isLimit = sent.has('max_tokens') && !isCrowded && !text.includes('context_length_exceeded') && (named.includes('max_tokens') || LIMIT.test(text))
  if (isLimit && isOutOfRange) return { kind: 'value', options: ['max_tokens'] }
  if (status === 413 || status === 414 || (CONTEXT.test(text) && !isLimit)) return { kind: 'context' }
  if (named.length === 0 && status < 500 && !NOT_CONTENT.includes(status) && !ACCOUNT.test(text) && CONTENT.test(text)) return { kind: 'content' }
  if (status === 403) return { kind: 'other' }
  if (sent.has('system') && ROLE.test(text)) return { kind: 'options', options: ['system'] }
  const options = named.length > 0 ? named : mentioned(text, sent)
  if (options.length === 0 && status === 501) return { kind: 'options', options: [...sent].filter(option => option === 'stream') }
  if (options.length === 0) return UNNAMED.test(text) ? { kind: 'options', options: unnamed(sent) } : { kind: 'other' }
  if (isOutOfRange && (options.includes('max_tokens') || !UNSUPPORTED.test(text))) return { kind: 'value', options }
  if (named.length > 0 || UNSUPPORTED.test(text)) return { kind: 'options', options }
  const inCode = IDENTIFIERS.filter(([option, name]) => ABOUT_REQUEST.includes(status) && options.includes(option) && name.test(text)).map(([option]) => option)
  return inCode.length > 0 ? { kind: 'options', options: inCode } : { kind: 'other' }
}

/** The option that the name of a parameter means, such as `messages[0].role`, `body.stream_options.include_usage` or `#/user`. */
function optionIn (name: string): Option[] {
  const parts = name.split(/[^A-Za-z_]+/)
  const found = parts.flatMap((part): Option[] => {
    if (part === 'role') return ['system']
    if (/^max_?(completion_?|new_?|output_?)?tokens$/i.test(part)) return ['max_tokens']
    return ['stream_options', 'temperature', 'user', 'stream'].includes(part) ? [part as Option] : []
  })
  return found.slice(0, 1)
}

/** The options named in sentences that say that something is not supported; if there are none, those named anywhere in the text. */
function mentioned (text: string, sent: ReadonlySet<Option>): Option[] {
  const sentences = text.split(/(?<=[.!?;])\s+|\n/)
  const inSentence = sentences.filter(sentence => UNSUPPORTED.test(sentence)).flatMap(sentence => optionsOf(sentence.replaceAll(ALLOWED, ''), sent))
  return [...new Set(inSentence.length > 0 ? inSentence : optionsOf(text, sent))]
}

function optionsOf (text: string, sent: ReadonlySet<Option>) {
  const found = MENTIONS.filter(([option, mention]) => sent.has(option) && mention.test(text)).map(([option]) => option)
  return found.includes('stream_options') ? found.filter(option => option !== 'stream') : found
}

/** The options that a provider most likely means when it names none. */
function unnamed (sent: ReadonlySet<Option>): Option[] {
  const light = (['stream_options', 'temperature', 'user'] as const).filter(option => sent.has(option))
  return light.length > 0 ? light : (['max_tokens'] as const).filter(option => sent.has(option))
}
