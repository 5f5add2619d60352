import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** The number of connections of a load generator. */
export const CLIENTS = 64

/** Whether a program is installed on this machine. */
export async function isInstalled (program: string): Promise<boolean> {
  return await promisify(execFile)(program, ['--version']).then(() => true, error => error.code !== 'ENOENT')
}
