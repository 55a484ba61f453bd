/**
 * The sessions that were ended here. Access cannot be told to end a session, and its tokens stay valid until they
 * expire: until then they are rejected.
 */
import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'

// Beyond these the longest past is forgotten. About 2 MiB.
const MAX_SIGN_OUTS = 10_000

// Milliseconds that a token can be accepted after its `exp`, at most: the bound of the option `clockTolerance`.
const MAX_CLOCK_TOLERANCE = 300_000

type Listener = (token: string) => void

/** Shared by all registrations of a server. */
export class SignOuts {
  /** By a hash: a token is a secret, and long. */
  readonly #tokens = new LRUCache<string, true>({ max: MAX_SIGN_OUTS, perf: Date })
  readonly #listeners = new Set<Listener>()

  /** @param until when the token is rejected anyway, in milliseconds since the Unix epoch */
  add (token: string, until: number): void {
    const left = until - Date.now()
    if (left > 0) this.#tokens.set(hashOf(token), true, { ttl: left })
    for (const listener of [...this.#listeners]) listener(token)
  }

  has (token: string): boolean {
    return this.#tokens.size > 0 && this.#tokens.has(hashOf(token))
  }

  /** @returns a function that ends the subscription */
  subscribe (listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => { this.#listeners.delete(listener) }
  }
}

/**
 * When the token of an identity is rejected by every registration anyway, in milliseconds since the Unix epoch. Their
 * rules for times differ, and all of them share what is known of a sign-out.
 */
export function signedOutUntil ({ expiresAt }: { readonly expiresAt: number }): number {
  return expiresAt + MAX_CLOCK_TOLERANCE
}

function hashOf (token: string): string {
  return createHash('sha256').update(token).digest('base64')
}
