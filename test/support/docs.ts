import { globSync, readFileSync } from 'node:fs'

// The documentation, and what it tells people to run.

export const PAGES = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...globSync('docs/**/*.md')]
export const textOf = (page: string) => readFileSync(page, 'utf8')

/** The code blocks of a language on a page. */
export const blocksOf = (page: string, language: string) =>
  [...textOf(page).matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(([, code]) => code!)

/** The commands of a block of shell code, without comments. One that goes on in the next line is one command. */
export function commandsOf (block: string) {
  const commands: string[] = []
  let command = ''
  for (const line of block.split('\n')) {
    command += command === '' ? line.replace(/(^|\s+)#\s.*$/, '') : `\n${line}`
    const [, end] = /<<'(\w+)'/.exec(command) ?? []
    const isOpen = command.endsWith('\\') || command.split("'").length % 2 === 0 || (end !== undefined && !command.endsWith(`\n${end}`))
    if (isOpen) continue
    if (command.trim() !== '') commands.push(command)
    command = ''
  }
  return commands
}
