/** Starts contestants in processes of their own. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

/**
 * @typedef {{ cpu: number, heap: number, verifications: number }} Usage microseconds and bytes
 * @typedef {{ port: number, ask: (question: string) => Promise<Usage> }} Server
 * @typedef {{ cookies?: boolean, counting?: boolean }} ServerOptions
 */

/**
 * Gives `use` a fresh server, and ends it.
 * @template T
 * @param {string} contestant
 * @param {string} certsUrl
 * @param {ServerOptions} options
 * @param {(server: Server) => Promise<T>} use
 * @returns {Promise<T>}
 */
export async function withServer (contestant, certsUrl, { cookies = false, counting = false }, use) {
  const file = (/** @type {string} */ name) => join(import.meta.dirname, name)
  const preload = counting ? ['--import', file('count-verifications.js')] : []
  const child = fork(file('server.js'), [contestant, certsUrl, JSON.stringify({ cookies })],
    { execArgv: ['--expose-gc', ...preload] })
  const exit = once(child, 'exit')
  const crash = exit.then(([code]) => { throw new Error(`${contestant} ended with ${code}`) })
  crash.catch(() => {})
  const answer = async () => (await Promise.race([once(child, 'message'), crash]))[0]
  const ask = (/** @type {string} */ question) => {
    child.send(question)
    return answer()
  }
  try {
    const { port } = await answer()
    return await Promise.race([use({ port, ask }), crash])
  } finally {
    if (child.connected) child.disconnect()
    await exit
  }
}
