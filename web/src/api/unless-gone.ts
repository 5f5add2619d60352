import { ParleyError } from 'parley'

/**
 * Waits until something is removed. If it is gone already, as after a second click or in another tab, that is no problem: the server
 * then answers with this code. @throws any other error
 */
export async function unlessGone (code: string, removing: Promise<unknown>) {
  await removing.catch(error => {
    if (!(error instanceof ParleyError) || error.code !== code) throw error
  })
}
