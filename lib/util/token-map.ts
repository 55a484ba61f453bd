/** Values by token, found without hashing the whole of it. */

/** A token and what is kept for it. */
export interface Entry<Value> {
  readonly token: string
  readonly value: Value
}

/** Where the kept things are, by mark: a `Map`, or an LRU that bounds them. */
export interface Store<Value> {
  get (mark: number): Entry<Value> | undefined
  set (mark: number, kept: Entry<Value>): unknown
  delete (mark: number): unknown
}

/**
 * Keyed on the whole token: a part of one could be shared by another. But a `Map` of tokens would
 * hash each of some 900 characters of a string that has come off a socket and was never hashed
 * before, eight times the work of this. So the last characters say where to look, and then the
 * whole token has to be the one that is kept there. They are a signature's, as good as random; of
 * two tokens that end alike the later one takes the place, and the other is verified again.
 */
export class TokenMap<Value> {
  readonly #store: Store<Value>

  constructor (places: Store<Value>) {
    this.#store = places
  }

  get (token: string): Value | undefined {
    const kept = this.#store.get(suffixHash(token))
    return kept !== undefined && kept.token === token ? kept.value : undefined
  }

  set (token: string, value: Value): void {
    this.#store.set(suffixHash(token), { token, value })
  }

  delete (token: string): void {
    const mark = suffixHash(token)
    if (this.#store.get(mark)?.token === token) this.#store.delete(mark)
  }
}

// Eight characters of base64url are 48 bits, more than enough to fill the 32 of a mark.
const MARK_LENGTH = 8

/** A whole number that JavaScript keeps without allocating. The very last character is left out: it has but two bits. */
function suffixHash (token: string): number {
  const end = token.length - 1
  let mark = 0
  for (let i = Math.max(0, end - MARK_LENGTH); i < end; i++) mark = (Math.imul(mark, 67) + token.charCodeAt(i)) | 0
  return mark
}
