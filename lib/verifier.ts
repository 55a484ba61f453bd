/** Token to identity: remembered, or its signature verified by jose with the team's keys. */
import { compactVerify, type CryptoKey } from 'jose'
import { checkClaims, type ClaimRules } from './claims.js'
import { TokenInvalidError } from './errors.js'
import { identify, isFrom, type CfAccessClaims, type CfAccessIdentity } from './identity.js'
import { readJws, type UnverifiedJws } from './jws.js'
import type { KeySet } from './key-set.js'
import { TokenCache } from './token-cache.js'

/** Verifies tokens by one registration's rules. What it remembers is never asked by another's. */
export class Verifier {
  readonly #rules: ClaimRules
  readonly #keySet: KeySet
  readonly #cache: TokenCache | null
  readonly #underway = new Map<string, Promise<CfAccessIdentity>>()
  #version = 0

  /** @param cacheMax how many verified tokens to remember; 0 for none */
  constructor (rules: ClaimRules, keySet: KeySet, cacheMax: number) {
    this.#rules = rules
    this.#keySet = keySet
    this.#cache = cacheMax > 0 ? new TokenCache(cacheMax) : null
  }

  /**
   * Who this token speaks of: at once when it is remembered, else a promise.
   * @throws {TokenInvalidError | TokenExpiredError} at once, before any cryptography, when the token's text already tells.
   * @throws {KeysUnavailableError} in the promise, as may be the others.
   */
  verify (token: string): CfAccessIdentity | Promise<CfAccessIdentity> {
    const now = Date.now()
    return this.#remembered(token, now) ?? this.#verifyOnce(token, now)
  }

  /** Whether this verifier made that identity. */
  madeOf (value: unknown): value is CfAccessIdentity {
    return isFrom(this, value)
  }

  #remembered (token: string, now: number): CfAccessIdentity | undefined {
    if (this.#cache === null || !this.#keySet.trusted(now)) return undefined
    this.#forgetOldKeys(this.#cache)
    return this.#cache.get(token, now)
  }

  #remember (token: string, identity: CfAccessIdentity, goodUntil: number): void {
    if (this.#cache === null) return
    this.#forgetOldKeys(this.#cache)
    this.#cache.set(token, identity, goodUntil)
  }

  /** What keys that changed have verified may have been withdrawn with one of them. */
  #forgetOldKeys (cache: TokenCache): void {
    if (this.#version === this.#keySet.version) return
    this.#version = this.#keySet.version
    cache.clear()
  }

  /** Requests that bring the same new token at the same time share one verification. */
  #verifyOnce (token: string, now: number): Promise<CfAccessIdentity> {
    const underway = this.#underway.get(token)
    if (underway !== undefined) return underway
    const jws = readJws(token)
    // What its claims tell against a token costs no signature check, nor a question for keys.
    checkClaims(jws.payload, this.#rules, now)
    const verified = this.#verify(token, jws).finally(() => this.#underway.delete(token))
    this.#underway.set(token, verified)
    return verified
  }

  async #verify (token: string, { kid, payload }: UnverifiedJws): Promise<CfAccessIdentity> {
    const key = await this.#keySet.find(kid)
    const version = this.#keySet.version
    await verifySignature(token, key)
    // Once more, since waiting for keys may have taken longer than the token had left.
    const goodUntil = checkClaims(payload, this.#rules, Date.now())
    const identity = identify(payload as CfAccessClaims, this)
    // Keys that changed meanwhile may have changed for the sake of this very token.
    if (version === this.#keySet.version) this.#remember(token, identity, goodUntil)
    return identity
  }
}

async function verifySignature (token: string, key: CryptoKey): Promise<void> {
  try {
    await compactVerify(token, key, { algorithms: ['RS256'] })
  } catch {
    throw new TokenInvalidError('signature')
  }
}
