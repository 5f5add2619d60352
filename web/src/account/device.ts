// Browsers also name other browsers in their user agent. The rarest come first, and the first match counts.
const BROWSERS: Array<[RegExp, string]> = [[/Edg\//, 'Edge'], [/OPR\//, 'Opera'], [/Firefox\//, 'Firefox'], [/Chrome\//, 'Chrome'], [/Safari\//, 'Safari']]
const SYSTEMS: Array<[RegExp, string]> = [[/Android/, 'Android'], [/iPhone|iPad/, 'iOS'], [/Windows/, 'Windows'], [/Mac OS X/, 'macOS'], [/Linux/, 'Linux']]

/** "Firefox · Linux" for a browser, else the beginning of the user agent. */
export function deviceOf (agent: string | null) {
  if (agent === null) return undefined
  const [browser, system] = [BROWSERS, SYSTEMS].map(known => known.find(([pattern]) => pattern.test(agent))?.[1])
  return browser === undefined ? agent.slice(0, 60) : [browser, system].filter(Boolean).join(' · ')
}
