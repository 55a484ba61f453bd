/** The expiry of a token, for connections that outlive the request they came with. */
import type { CfAccessIdentity } from './identity.js'

// The longest that a timer of Node.js can wait, in milliseconds: about 25 days. A session can last a month.
const MAX_TIMER = 2 ** 31 - 1

/**
 * Calls back once, when the identity's token expires, or soon if it has expired already. A WebSocket or an event
 * stream outlives the request that opened it: close it in this callback. The timer does not keep the process alive.
 *
 * @returns a function that cancels the callback, for when the socket closes first
 */
export function onExpiry ({ expiresAt }: CfAccessIdentity, callback: () => void): () => void {
  let timer: NodeJS.Timeout
  const wait = (): void => {
    const left = expiresAt - Date.now()
    timer = left > MAX_TIMER ? setTimeout(wait, MAX_TIMER) : setTimeout(callback, Math.max(left, 0))
    timer.unref()
  }
  wait()
  return () => clearTimeout(timer)
}
