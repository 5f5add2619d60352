import os from 'node:os'
import path from 'node:path'

// Constants for tests that need no app. They are not in helper.ts, since importing the app takes a second.

export const silent = { debug () {}, info () {}, warn () {}, error () {} }

export const SECRET = 'a secret for tests, longer than 32 bytes'
export const API_KEY = 'a-key-for-tests-only'

/**
 * The folder of the tests' own Postgres and of what else `before.ts` prepares. Each run of tap has its own, named by the
 * process id of tap, which is the parent of all test files. So several runs do not disturb each other.
 */
export const TEST_FOLDER = path.join(os.tmpdir(), `parley-test-${process.ppid}`)
/** Packages and sources without their types, prepared for load-faster.ts. */
export const PREPARED_FOLDER = path.join(TEST_FOLDER, 'prepared')
