// A browser says of itself that it is several others, too: the first one that fits, from the rarest on.
const BROWSERS: Array<[RegExp, string]> = [[/Edg\//, 'Edge'], [/OPR\//, 'Opera'], [/Firefox\//, 'Firefox'], [/Chrome\//, 'Chrome'], [/Safari\//, 'Safari']]
const SYSTEMS: Array<[RegExp, string]> = [[/Android/, 'Android'], [/iPhone|iPad/, 'iOS'], [/Windows/, 'Windows'], [/Mac OS X/, 'macOS'], [/Linux/, 'Linux']]

/** In two words, where it is a browser; else as it calls itself. */
export function deviceOf (agent: string | null) {
  if (agent === null) return undefined
  const [browser, system] = [BROWSERS, SYSTEMS].map(known => known.find(([pattern]) => pattern.test(agent))?.[1])
  return browser === undefined ? agent.slice(0, 60) : [browser, system].filter(Boolean).join(' · ')
}
