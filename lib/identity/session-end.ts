/** The end of a token, for what outlives the request it came with. */
import type { CfAccessIdentity } from './identity.js'

// What a timer of Node's can wait at most, in milliseconds: some 25 days, and a session may last a month.
const MAX_TIMER = 2 ** 31 - 1

/**
 * Calls back once, when the identity's token expires, and soon when it already has. A WebSocket or an
 * event stream outlives the request that opened it; end it here. Keeps no process alive.
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
