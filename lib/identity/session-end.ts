/** The end of a session, for connections that outlive the request they came with. */
import { TokenInvalidError } from '../errors.js'
import { sessionOf, type CfAccessIdentity, type Session } from './identity.js'

/**
 * `'expired'`: the token has expired. `'revoked'`: Access no longer accepts it; noticed with `recheck` only.
 * `'signed-out'`: `fastify.cfAccess.signOut()` ended it here, or with a `store` in another process.
 */
export type CfAccessSessionEnd = 'expired' | 'revoked' | 'signed-out'

// The longest that a timer of Node.js can wait, in milliseconds: about 25 days. A session can last a month.
const MAX_TIMER = 2 ** 31 - 1

/**
 * Calls back once, when the identity's session ends, or soon if it has ended already. A WebSocket or an event stream
 * outlives the request that opened it: close it in this callback. With the option `recheck`, Access is asked about the
 * token that often, until the callback is called or cancelled; with `store`, the store once a second. No timer keeps
 * the process alive.
 *
 * @returns a function that cancels the callback, for when the socket closes first
 */
export function onSessionEnd (
  identity: CfAccessIdentity, callback: (reason: CfAccessSessionEnd) => void
): () => void {
  const cancels: Array<() => void> = []
  const cancel = (): void => { cancels.splice(0).forEach(each => each()) }
  const end = (reason: CfAccessSessionEnd): void => {
    if (cancels.length === 0) return
    cancel()
    callback(reason)
  }
  cancels.push(atTime(identity.expiresAt, () => end('expired')))
  const session = sessionOf(identity)
  if (session !== null) {
    cancels.push(onSignOut(session, () => end('signed-out')))
    if (session.watch !== null) cancels.push(session.watch(() => end('revoked')))
    if (session.recheck !== Infinity) cancels.push(onRevocation(session, () => end('revoked')))
  }
  return cancel
}

function atTime (time: number, callback: () => void): () => void {
  let timer: NodeJS.Timeout
  const wait = (): void => {
    const left = time - Date.now()
    timer = left > MAX_TIMER ? setTimeout(wait, MAX_TIMER) : setTimeout(callback, Math.max(left, 0))
    timer.unref()
  }
  wait()
  return () => clearTimeout(timer)
}

function onSignOut ({ token, signOuts }: Session, callback: () => void): () => void {
  if (signOuts.has(token)) return atTime(0, callback)
  return signOuts.subscribe(ended => { if (ended === token) callback() })
}

/** Asks again each time some time after the last answer. An answer that is none says nothing of the session. */
function onRevocation ({ recheck, confirm }: Session, callback: () => void): () => void {
  let isOver = false
  let timer: NodeJS.Timeout
  const ask = async (): Promise<void> => {
    try {
      await confirm()
    } catch (error) {
      if (error instanceof TokenInvalidError) callback() // after which it is over
    }
    if (!isOver) wait()
  }
  const wait = (): void => { timer = setTimeout(ask, recheck).unref() }
  wait()
  return () => {
    isOver = true
    clearTimeout(timer)
  }
}
