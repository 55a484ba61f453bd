/** Token to identity: remembered, or its signature verified by jose with the team's keys. */
import { compactVerify, type CryptoKey } from 'jose'
import type { CfAccessClaims } from './application-token.js'
import { channels, observed } from './channels.js'
import { checkClaims, type ClaimRules } from './claims.js'
import type { CfAccessDetails } from './details.js'
import { TokenInvalidError } from './errors.js'
import type { IdentityEndpoint } from './identity-endpoint.js'
import { identify, isFrom, type CfAccessIdentity, type Voucher } from './identity.js'
import { readBytes, readJws, type UnverifiedJws } from './jws.js'
import type { KeySet } from './key-set.js'
import { TokenCache } from './token-cache.js'
import { TokenMap } from './token-map.js'

/** How a registration's tokens are verified. */
export interface VerifierSettings extends ClaimRules {
  /** How many verified tokens to remember; 0 for none. */
  readonly cacheMax: number
  /** Seconds after which Access is asked again whether it accepts a token; `Infinity` for never. */
  readonly recheck: number
}

/** Verifies tokens by one registration's rules. What it remembers is never asked by another's. */
export class Verifier implements Voucher {
  readonly #rules: ClaimRules
  readonly #keySet: KeySet
  readonly #endpoint: IdentityEndpoint
  readonly #recheck: number
  readonly #cache: TokenCache | null
  readonly #underway = new TokenMap<Promise<CfAccessIdentity>>(new Map())
  #version = 0

  constructor (settings: VerifierSettings, keySet: KeySet, endpoint: IdentityEndpoint) {
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

  /** What Access knows of an identity. A token that Access does not accept is not remembered any longer. */
  async details (identity: CfAccessIdentity, token: string, maxAge?: number): Promise<CfAccessDetails> {
    try {
      return await this.#endpoint.ask(identity, token, maxAge)
    } catch (error) {
      if (error instanceof TokenInvalidError) this.#cache?.delete(token)
      throw error
    }
  }

  /** Whether this verifier made that identity. */
  madeOf (value: unknown): value is CfAccessIdentity {
    return isFrom(this, value)
  }

  #answer (token: string): CfAccessIdentity | Promise<CfAccessIdentity> {
    if (typeof token !== 'string') throw new TokenInvalidError('malformed')
    const now = Date.now()
    const identity = this.#remembered(token, now) ?? this.#verifyOnce(token, now)
    return this.#recheck === Infinity ? identity : this.#confirm(identity, token)
  }

  #confirm (identity: CfAccessIdentity | Promise<CfAccessIdentity>, token: string): CfAccessIdentity | Promise<CfAccessIdentity> {
    if (identity instanceof Promise) return identity.then(verified => this.#confirm(verified, token))
    if (this.#endpoint.hasConfirmed(identity, token, this.#recheck)) return identity
    return this.details(identity, token, this.#recheck).then(() => identity)
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
    // In one spelling only. Checked here, since most tokens that are refused are refused by their claims.
    readBytes(jws.signature)
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
    const identity = identify(payload as CfAccessClaims, token, this)
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
