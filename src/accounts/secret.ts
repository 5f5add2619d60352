import { randomBytes, randomUUID } from 'node:crypto'
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { CANNOT_START } from '../errors.ts'

/** A shorter secret could be guessed. */
const MIN_LENGTH = 32

/**
 * Reads the secret that signs tokens from a file, so that a restart logs nobody out. The first start creates the file,
 * readable only by its owner. If two processes start at once, both use the file that was created first.
 * @throws CANNOT_START when the file cannot be read or created, or has no secret in it
 */
export async function readOrMakeSecret (dataDir: string): Promise<string> {
  const file = path.join(dataDir, 'jwt-secret')
  const secret = await readOrMake().catch(error => {
    throw new CANNOT_START(`Cannot keep a secret in ${dataDir}: ${(error as Error).message}. Please choose another DATA_DIR, or set JWT_SECRET.`, { cause: error })
  })
  if (secret.length < MIN_LENGTH) throw new CANNOT_START(`${file} is damaged: it needs at least ${MIN_LENGTH} characters. Please replace it by your copy. Without a copy, remove it: the next start makes a new one, and everybody has to log in again.`)
  return secret

  /** Writes only if there is no secret yet. Otherwise a server could not start again while its disk is full. */
  async function readOrMake () {
    return await read() ?? await make()
  }

  async function read () {
    return await readFile(file, 'utf8').catch(error => {
      if (error.code !== 'ENOENT') throw error
    })
  }

  async function make () {
    const draft = `${file}.${randomUUID()}` // not the process id: in each container it may be 1
    await mkdir(dataDir, { recursive: true, mode: 0o700 })
    try {
      // Flushed, so that a power failure does not leave an empty file.
      await writeFile(draft, randomBytes(32).toString('base64url'), { mode: 0o600, flush: true })
      await link(draft, file).catch(unlessItExists)
    } finally {
      await rm(draft, { force: true })
    }
    return await readFile(file, 'utf8')
  }
}

function unlessItExists (error: NodeJS.ErrnoException) {
  /* c8 ignore next -- needs a file system without hard links */
  if (error.code !== 'EEXIST') throw error
}
