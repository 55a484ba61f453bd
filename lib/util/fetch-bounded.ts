/** One question to the team's domain: bounded in time and size, and never led elsewhere. */

/** The part of the `fetch` standard that is used here. */
export type CfAccessFetch = (url: string, init: RequestInit) => Promise<Response>

export interface FetchBounds {
  readonly fetch: CfAccessFetch
  /** Milliseconds for the whole answer, its body included. */
  readonly timeout: number
  /** Ends the question early. */
  readonly signal: AbortSignal
}

export interface Answer {
  readonly status: number
  readonly text: string
}

const MAX_BYTES = 256 * 1024

/** There is an answer, but too much of it. */
export class AnswerTooLargeError extends Error {}

/**
 * Asks `url` and reads the answer whole.
 * @throws {AnswerTooLargeError} when the answer is over 256 KiB.
 * @throws {Error} when there is no answer in time, or when it was redirected.
 */
export async function fetchBounded (url: string, headers: Record<string, string>, bounds: FetchBounds): Promise<Answer> {
  const { fetch, timeout, signal } = bounds
  signal.throwIfAborted()
  const stop = new AbortController()
  const giveUp = (): void => stop.abort(signal.reason)
  signal.addEventListener('abort', giveUp)
  const timer = setTimeout(() => stop.abort(new Error(`no whole answer within ${timeout} ms`)), timeout).unref()
  try {
    // A fetch of the application's own may not heed the signal, so the wait ends with it either way.
    return await Promise.race([ask(fetch, url, { headers, redirect: 'manual', signal: stop.signal }), ending(stop.signal)])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', giveUp)
    stop.abort() // lets go of a body that nobody reads on
  }
}

async function ask (fetch: CfAccessFetch, url: string, init: RequestInit & { signal: AbortSignal }): Promise<Answer> {
  const response = await fetch(url, { method: 'GET', ...init })
  // With `redirect: 'manual'` a redirect comes back as itself; a fetch that follows all the same tells so here.
  if (response.redirected) throw new Error('the answer was redirected')
  return { status: response.status, text: await readText(response, init.signal) }
}

async function readText ({ body }: Response, signal: AbortSignal): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array>) {
    signal.throwIfAborted() // leaving the loop lets go of the body
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
 * What went wrong, in words an operator can act on: `fetch` hides the network's own error in the cause.
 * @param secret what the words must not quote, such as a token that was sent: a custom `fetch` can put its headers into its errors
 */
export function explain (error: unknown, secret = ''): string {
  if (!(error instanceof Error)) return 'the fetch failed'
  const { message, cause } = error
  return blank(cause instanceof Error ? `${message}: ${cause.message}` : message, secret)
}

// Characters. Bounds what a custom fetch can put into a log line, and the work of looking through it.
const MAX_EXPLANATION = 1000

// Short enough for a part of a token to be of no use, long enough for no ordinary word to be taken for one.
const PART_LENGTH = 8

/** Puts `[token]` in place of every word that shares eight characters in a row with the secret. */
function blank (text: string, secret: string): string {
  return text.slice(0, MAX_EXPLANATION).replace(/[\w.-]{8,}/g, word => sharesPart(word, secret) ? '[token]' : word)
}

function sharesPart (word: string, secret: string): boolean {
  for (let i = 0; i + PART_LENGTH <= word.length; i++) {
    if (secret.includes(word.slice(i, i + PART_LENGTH))) return true
  }
  return false
}
