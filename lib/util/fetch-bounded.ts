/** One request to the team's domain: bounded in time and size, without redirects. */

/** The part of the `fetch` standard that is used here: undici's, node-fetch's and the global one have it. */
export type CfAccessFetch = (url: string, init: {
  readonly method: 'GET'
  readonly headers: Record<string, string>
  readonly redirect: 'manual'
  readonly signal: AbortSignal
}) => Promise<{
  /** The status. */
  readonly status: number
  /** Whether a redirect was followed, which it must not be. */
  readonly redirected: boolean
  /** A stream of bytes, by asynchronous iteration. */
  readonly body: object | null
}>

export interface FetchBounds {
  readonly fetch: CfAccessFetch
  /** Milliseconds for the whole answer, its body included. */
  readonly timeout: number
  /** Cancels the request. */
  readonly signal: AbortSignal
}

export interface Answer {
  readonly status: number
  readonly text: string
}

const MAX_BYTES = 256 * 1024

/** The answer is too large. */
export class AnswerTooLargeError extends Error {}

/** There was no whole answer in time. */
export class AnswerTooLateError extends Error {}

/**
 * Fetches `url` and reads the whole answer.
 * @throws {AnswerTooLargeError} when the answer is over 256 KiB.
 * @throws {AnswerTooLateError} when there is no whole answer in time.
 * @throws {Error} when there is no answer, or a redirect was followed.
 */
export async function fetchBounded (
  url: string, headers: Record<string, string>, bounds: FetchBounds
): Promise<Answer> {
  const { fetch, timeout, signal } = bounds
  signal.throwIfAborted()
  const stop = new AbortController()
  const giveUp = (): void => stop.abort(signal.reason)
  signal.addEventListener('abort', giveUp)
  const timer = setTimeout(() => stop.abort(new AnswerTooLateError(`no whole answer within ${timeout} ms`)), timeout).unref()
  try {
    // A custom fetch can ignore the signal, so the wait ends with it either way.
    return await Promise.race(
      [ask(fetch, url, headers, stop.signal), ending(stop.signal)])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', giveUp)
    stop.abort() // releases a body that is not read to its end
  }
}

async function ask (
  fetch: CfAccessFetch, url: string, headers: Record<string, string>, signal: AbortSignal
): Promise<Answer> {
  const response = await fetch(url, { method: 'GET', headers, redirect: 'manual', signal })
  // With `redirect: 'manual'` a redirect is the answer; a custom fetch that follows it anyway is detected here.
  if (response.redirected) throw new Error('the answer was redirected')
  return { status: response.status, text: await readText(response.body, signal) }
}

async function readText (body: object | null, signal: AbortSignal): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array>) {
    signal.throwIfAborted() // leaving the loop releases the body
    bytes += chunk.byteLength
    if (bytes > MAX_BYTES) throw new AnswerTooLargeError(`the answer is over ${MAX_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function ending (signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

/**
 * What went wrong, for an operator: `fetch` puts the network's own error into the cause.
 * @param secret what the text must not quote, such as the token that was sent: a custom `fetch` can quote its headers
 */
export function explain (error: unknown, secret = ''): string {
  if (!(error instanceof Error)) return 'the fetch failed'
  const { message, cause } = error
  return blank(cause instanceof Error ? `${message}: ${cause.message}` : message, secret)
}

// Characters. Bounds what a custom fetch can put into a log line, and the work of searching it.
const MAX_EXPLANATION = 1000

// So short that a part of a token is useless, and so long that no ordinary word matches.
const PART_LENGTH = 8

/** Replaces every word that has eight characters in a row in common with the secret by `[token]`. */
function blank (text: string, secret: string): string {
  return text.slice(0, MAX_EXPLANATION).replace(/[\w.-]{8,}/g, word => sharesPart(word, secret) ? '[token]' : word)
}

function sharesPart (word: string, secret: string): boolean {
  for (let i = 0; i + PART_LENGTH <= word.length; i++) {
    if (secret.includes(word.slice(i, i + PART_LENGTH))) return true
  }
  return false
}
