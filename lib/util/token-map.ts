/** A bounded map by token that hashes only the end of the token. The least recently used entry is evicted first. */
import { LRUCache } from 'lru-cache'

interface Entry<Value> {
  readonly token: string
  readonly value: Value
}

/**
 * Compares the whole token, but hashes only its last characters. A `Map` with the token as key would hash all of its
 * 900 or so characters for each request, which takes eight times as long. The last characters belong to the signature,
 * so they are as good as random. Of two tokens with the same end, the later one replaces the earlier one, which is
 * then verified again.
 */
export class TokenMap<Value> {
  readonly #entries: LRUCache<number, Entry<Value>>

  /** @param max how many entries are kept at most */
  constructor (max: number) {
    this.#entries = new LRUCache({ max })
  }

  get (token: string): Value | undefined {
    const entry = this.#entries.get(suffixHash(token))
    return entry !== undefined && entry.token === token ? entry.value : undefined
  }

  set (token: string, value: Value): void {
    this.#entries.set(suffixHash(token), { token, value })
  }

  delete (token: string): void {
    const hash = suffixHash(token)
    if (this.#entries.get(hash)?.token === token) this.#entries.delete(hash)
  }
}

// Eight characters of base64url are 48 bits, more than enough for a hash of 32.
const SUFFIX_LENGTH = 8

/** A small integer, so nothing is allocated. The last character is left out: it carries only two bits. */
function suffixHash (token: string): number {
  const end = token.length - 1
  let hash = 0
  for (let i = Math.max(0, end - SUFFIX_LENGTH); i < end; i++) hash = (Math.imul(hash, 67) + token.charCodeAt(i)) | 0
  return hash
}
