/** Verified tokens remembered, so that a token costs one verification and then next to nothing. */
import { LRUCache } from 'lru-cache'
import type { CfAccessIdentity } from './identity.js'
import { TokenMap, type Kept } from './token-map.js'

interface Entry {
  readonly identity: CfAccessIdentity
  /** Milliseconds since the Unix epoch. */
  readonly goodUntil: number
}

// Access keeps its tokens under the 4 KB a cookie may have. A longer one is verified each time, which bounds the memory.
const MAX_TOKEN_LENGTH = 4096

/** Bounded, least recently used out first. */
export class TokenCache {
  readonly #entries: TokenMap<Entry>

  /** @param max how many tokens are kept at most */
  constructor (max: number) {
    this.#entries = new TokenMap(new LRUCache<number, Kept<Entry>>({ max }))
  }

  /** The identity this token was verified to, while it is good. */
  get (token: string, now: number): CfAccessIdentity | undefined {
    const entry = this.#entries.get(token)
    if (entry === undefined) return undefined
    if (now < entry.goodUntil) return entry.identity
    this.delete(token)
    return undefined
  }

  set (token: string, identity: CfAccessIdentity, goodUntil: number): void {
    if (token.length <= MAX_TOKEN_LENGTH) this.#entries.set(token, { identity, goodUntil })
  }

  delete (token: string): void {
    this.#entries.delete(token)
  }

  clear (): void {
    this.#entries.clear()
  }
}
