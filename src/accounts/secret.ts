import { randomBytes } from 'node:crypto'
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { CANNOT_START } from '../errors.ts'

/**
 * Reads the secret that signs tokens from a file, so that a restart logs nobody out. The first start creates the file,
 * readable only by its owner. If two processes start at once, both use the file that was created first.
 * @throws CANNOT_START when the folder cannot be written
 */
export async function readOrMakeSecret (dataDir: string): Promise<string> {
  const file = path.join(dataDir, 'jwt-secret')
  const draft = `${file}.${process.pid}`
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 })
    await writeFile(draft, randomBytes(32).toString('base64url'), { mode: 0o600 })
    await link(draft, file).catch(unlessItExists)
    await rm(draft)
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new CANNOT_START(`Cannot keep a secret in ${dataDir}: ${(error as Error).message}. Please choose another DATA_DIR, or set JWT_SECRET.`, { cause: error })
  }
}

function unlessItExists (error: NodeJS.ErrnoException) {
  /* c8 ignore next -- needs a file system without hard links */
  if (error.code !== 'EEXIST') throw error
}
