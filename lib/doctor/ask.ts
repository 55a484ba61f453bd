/** One request of the doctor: bounded as the plugin's own, and with the headers of the answer. */
import { fetchBounded, type CfAccessFetch } from '../util/fetch-bounded.js'

/** Milliseconds that one answer can take, its body included: the plugin's own default. */
export const TIMEOUT = 5_000

export interface Reply {
  readonly status: number
  readonly headers: Headers
  /** Empty where the body is not wanted. */
  readonly text: string
  /** Milliseconds until the whole answer came. */
  readonly took: number
  /** Half way between the request and the headers of the answer, in milliseconds since the Unix epoch. */
  readonly at: number
}

/** Whether an answer rejects a request without a session or token. */
export function isRejection (status: number): boolean {
  return status === 401 || status === 403
}

/** The code of the plugin's own errors, if it is in the answer. */
export function ownCodeIn (text: string): string | null {
  return /FST_CF_ACCESS_[A-Z_]+/.exec(text)?.[0] ?? null
}

/**
 * Asks a URL without credentials, and follows no redirect.
 * @param wantsBody whether the body of an answer with this status is read
 * @throws {AnswerTooLargeError | AnswerTooLateError | Error} when there is no answer
 */
export async function ask (url: string, accept: string, wantsBody: (status: number) => boolean): Promise<Reply> {
  const since = performance.now()
  let headers = new Headers()
  let at = 0
  const recording: CfAccessFetch = async (address, init) => {
    const response = await fetch(address, init)
    at = Date.now() - (performance.now() - since) / 2
    headers = response.headers
    const { status, redirected, body } = response
    return { status, redirected, body: wantsBody(status) ? body : null }
  }
  const { status, text } = await fetchBounded(url, { accept }, {
    fetch: recording,
    timeout: TIMEOUT,
    signal: new AbortController().signal
  })
  return { status, headers, text, took: Math.round(performance.now() - since), at }
}
