import { readFileSync, statfsSync } from 'node:fs'
import os from 'node:os'
import { loadPrepared } from './load-faster.ts'

// Loaded before each test file.

const MEMORY_FOLDER = '/dev/shm'

// Temporary files are kept in memory where there is enough of it. Creating a database copies some three hundred files,
// which takes 0.25 s of processor time on a disk and 0.04 s in memory. Programs that tests start inherit the variable.
if (process.env['TMPDIR'] === undefined && isSuitable(MEMORY_FOLDER)) process.env['TMPDIR'] = MEMORY_FOLDER

// Node.js strips types without moving anything, so nothing here needs source maps. With tap's `--enable-source-maps`, those
// of all packages would be read and parsed, in every process.
process.setSourceMapsEnabled(false)

const { PREPARED_FOLDER } = await import('./constants.ts') // not before TMPDIR is set
loadPrepared(PREPARED_FOLDER)

// In the programs that tests start, tap need not list the files of packages. Otherwise it reads each of them again.
process.env['_TAPJS_PROCESSINFO_EXCLUDE_'] = '/^node:|[/]node_modules[/]/'

/** All test files must come to the same conclusion, so this depends on the size of the memory and not on how much is free. */
function isSuitable (folder: string) {
  try {
    const { blocks, bsize } = statfsSync(folder)
    const mount = readFileSync('/proc/mounts', 'utf8').split('\n').map(line => line.split(' ')).findLast(([, at]) => at === folder)
    const [, , type, options = ''] = mount ?? []
    const memory = Math.min(os.totalmem(), process.constrainedMemory() || Infinity)
    return type === 'tmpfs' && !/\b(ro|noexec)\b/.test(options) && blocks * bsize >= 4 * 2 ** 30 && memory >= 8 * 2 ** 30
  } catch {
    return false // not on Linux
  }
}
