/** The cache of verified tokens: each token is verified once, until it expires or the keys change. */
import type { CfAccessIdentity } from '../identity/identity.js'
import type { KeySet } from '../keys/key-set.js'
import { TokenMap } from '../util/token-map.js'
import type { AcceptedTags } from './audience.js'

/** A cache entry. */
export interface CachedToken {
  readonly identity: CfAccessIdentity
  /** Milliseconds since the Unix epoch. */
  readonly expiresAt: number
  /** The keys that verified it, and their version then. */
  readonly keySet: KeySet
  readonly keysVersion: number
  /** When Access last confirmed the token, in milliseconds since the Unix epoch; `-Infinity` for never. */
  confirmedAt: number
  /** When the shared store last said that it is not signed out; `-Infinity` for never. */
  lookedAt: number
  /** The AUD tags that its `aud` was last compared with, and has. */
  accepted: AcceptedTags
}

// Access keeps its tokens under the 4 KB limit of a cookie. A longer one is verified each time, to bound the memory.
const MAX_TOKEN_LENGTH = 4096

/** Bounded; the least recently used entry is evicted first. */
export class TokenCache {
  readonly #entries: TokenMap<CachedToken>

  /** @param max how many tokens are kept at most */
  constructor (max: number) {
    this.#entries = new TokenMap(max)
  }

  /** The entry of a token. Once it expires or the keys change it is evicted, even if the clock is set back later. */
  get (token: string, now: number): CachedToken | undefined {
    const entry = this.#entries.get(token)
    if (entry === undefined || (now < entry.expiresAt && entry.keysVersion === entry.keySet.version)) return entry
    this.delete(token)
    return undefined
  }

  /** @param token a flat string: a slice of a header would keep the whole header in memory */
  set (
    token: string, identity: CfAccessIdentity, expiresAt: number, keySet: KeySet, accepted: AcceptedTags
  ): void {
    if (token.length > MAX_TOKEN_LENGTH) return
    const never = { confirmedAt: -Infinity, lookedAt: -Infinity }
    this.#entries.set(token, { identity, expiresAt, keySet, keysVersion: keySet.version, accepted, ...never })
  }

  /** Notes when Access last confirmed a token, for as long as the token is cached. */
  confirm (token: string, at: number): void {
    const entry = this.#entries.get(token)
    if (entry !== undefined) entry.confirmedAt = at
  }

  /** Notes when the shared store was last asked about a token. */
  look (token: string, at: number): void {
    const entry = this.#entries.get(token)
    if (entry !== undefined) entry.lookedAt = at
  }

  delete (token: string): void {
    this.#entries.delete(token)
  }
}
