import { globSync, readFileSync } from 'node:fs'

// The pages of the documentation, and the commands in them.

export const PAGES = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...globSync('docs/**/*.md')]
export const textOf = (page: string) => readFileSync(page, 'utf8')

/** All code blocks on a page that are in this language. */
export const blocksOf = (page: string, language: string) =>
  [...textOf(page).matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(([, code]) => code!)

/** The commands of a block of shell code, without comments. A command that continues on the next line is one command. */
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
