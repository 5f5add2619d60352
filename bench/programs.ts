import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** How many clients a load generator has. */
export const CLIENTS = 64

/** Whether a program is installed on this machine. */
export async function isInstalled (program: string): Promise<boolean> {
  return await promisify(execFile)(program, ['--version']).then(() => true, error => error.code !== 'ENOENT')
}
