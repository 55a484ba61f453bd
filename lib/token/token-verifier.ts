/** Token to identity: remembered, or its signature verified by jose with the team's keys. */
import { compactVerify, type CryptoKey } from 'jose'
import { channels } from '../channels.js'
import { TokenInvalidError } from '../errors.js'
import type { CfAccessClaims } from '../identity/claims.js'
import type { CfAccessDetails } from '../identity/details.js'
import type { GetIdentityClient } from '../identity/get-identity.js'
import { identify, isMadeBy, type CfAccessIdentity, type DetailsSource } from '../identity/identity.js'
import type { KeySet } from '../keys/key-set.js'
import { flatCopy } from '../util/flat-copy.js'
import { TokenMap } from '../util/token-map.js'
import { TokenCache, type CachedToken } from './cache.js'
import { checkClaims, expiryOf, type ClaimRules } from './check-claims.js'
import { decodeCanonical, parseUnverifiedJws, type UnverifiedJws } from './jws.js'
import { observed } from './observed.js'

/** How a registration's tokens are verified. */
export interface VerifierSettings extends ClaimRules {
  /** How many verified tokens to remember; 0 for none. */
  readonly cacheMax: number
  /** Seconds after which Access is asked again whether it accepts a token; `Infinity` for never. */
  readonly recheck: number
}

/** Verifies tokens by one registration's rules. What it remembers is never asked by another's. */
export class Verifier implements DetailsSource {
  readonly #rules: ClaimRules
  readonly #keySet: KeySet
  readonly #endpoint: GetIdentityClient
  readonly #recheck: number
  readonly #cache: TokenCache | null
  readonly #underway = new TokenMap<Promise<CfAccessIdentity>>(new Map())
  #version = 0

  constructor (settings: VerifierSettings, keySet: KeySet, endpoint: GetIdentityClient) {
    this.#rules = settings
    this.#keySet = keySet
    this.#endpoint = endpoint
    this.#recheck = settings.recheck * 1000
    this.#cache = settings.cacheMax > 0 ? new TokenCache(settings.cacheMax) : null
  }

  /**
   * Who this token speaks of: at once when it is remembered, else a promise.
   * @throws {TokenInvalidError | TokenExpiredError} at once, before any cryptography, when the token's text already tells.
   * @throws {KeysUnavailableError | IdentityUnavailableError} in the promise, as may be the others.
   */
  verify (token: string): CfAccessIdentity | Promise<CfAccessIdentity> {
    return channels.verify.hasSubscribers ? observed(() => this.#answer(token)) : this.#answer(token)
  }

  async details (identity: CfAccessIdentity, token: string): Promise<CfAccessDetails> {
    return await this.#ask(identity, token)
  }

  /** Whether this verifier made that identity. */
  made (value: unknown): value is CfAccessIdentity {
    return isMadeBy(this, value)
  }

  #answer (token: string): CfAccessIdentity | Promise<CfAccessIdentity> {
    if (typeof token !== 'string') throw new TokenInvalidError('malformed')
    const now = Date.now()
    const cached = this.#remembered(token, now)
    if (cached === undefined) {
      const verified = this.#verifyOnce(token, now)
      return this.#recheck === Infinity ? verified : verified.then(identity => this.#confirm(identity, token))
    }
    return this.#isConfirmed(cached, now) ? cached.identity : this.#confirm(cached.identity, token)
  }

  #isConfirmed ({ confirmedAt }: CachedToken, now: number): boolean {
    // The distance, so that a clock set back cannot keep a confirmation fresh.
    return this.#recheck === Infinity || Math.abs(now - confirmedAt) < this.#recheck
  }

  async #confirm (identity: CfAccessIdentity, token: string): Promise<CfAccessIdentity> {
    await this.#ask(identity, token, this.#recheck)
    return identity
  }

  /** What Access says of a token is kept with the token: when it confirmed it, or no more of it once it does not accept it. */
  async #ask (identity: CfAccessIdentity, token: string, maxAge?: number): Promise<CfAccessDetails> {
    try {
      const { at, details } = await this.#endpoint.ask(identity, token, expiryOf(identity.claims, this.#rules), maxAge)
      this.#cache?.confirm(token, at)
      return details
    } catch (error) {
      if (error instanceof TokenInvalidError) this.#cache?.delete(token)
      throw error
    }
  }

  #remembered (token: string, now: number): CachedToken | undefined {
    if (this.#cache === null || !this.#keySet.trusted(now)) return undefined
    this.#forgetOldKeys(this.#cache)
    return this.#cache.get(token, now)
  }

  #remember (cache: TokenCache, token: string, identity: CfAccessIdentity, goodUntil: number): void {
    this.#forgetOldKeys(cache)
    cache.set(token, identity, goodUntil)
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
    const jws = parseUnverifiedJws(token)
    // What its claims tell against a token costs no signature check, nor a question for keys.
    checkClaims(jws.payload, this.#rules, now)
    // In one spelling only. Checked here, since most tokens that are refused are refused by their claims.
    decodeCanonical(jws.signature)
    const verified = this.#verify(token, jws).finally(() => this.#underway.delete(token))
    this.#underway.set(token, verified)
    return verified
  }

  async #verify (token: string, { kid, payload }: UnverifiedJws): Promise<CfAccessIdentity> {
    const key = await this.#keySet.getKey(kid)
    const version = this.#keySet.version
    await verifySignature(token, key)
    // Once more, since waiting for keys may have taken longer than the token had left.
    const end = checkClaims(payload, this.#rules, Date.now())
    const cache = this.#cache
    if (cache === null) return identify(payload as CfAccessClaims, token, this)
    const own = flatCopy(token)
    const identity = identify(payload as CfAccessClaims, own, this)
    // Keys that changed meanwhile may have changed for the sake of this very token.
    if (version === this.#keySet.version) this.#remember(cache, own, identity, end)
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
