/** Token to identity: from the cache, or by verifying its signature with the team's keys. */
import { verify as verifySignature } from 'node:crypto'
import type { Team } from '../access/team.js'
import { channels } from '../channels.js'
import { TokenInvalidError } from '../errors.js'
import type { CfAccessClaims } from '../identity/claims.js'
import type { CfAccessDetails } from '../identity/details.js'
import type { GetIdentityClient } from '../identity/get-identity.js'
import {
  identify, isMadeBy, type CfAccessIdentity, type DetailsSource, type SessionSource
} from '../identity/identity.js'
import { LOOK_EVERY, type SharedStore } from '../identity/shared-store.js'
import { signedOutUntil, type SignOuts } from '../identity/sign-outs.js'
import { StoreWatch } from '../identity/store-watch.js'
import type { KeySet } from '../keys/key-set.js'
import { elapsed } from '../util/elapsed.js'
import { flatCopy } from '../util/flat-copy.js'
import { loggable } from '../util/loggable.js'
import { andThen, type MaybePromise } from '../util/maybe-promise.js'
import { checkAudience, type AcceptedTags } from './audience.js'
import { TokenCache, type CachedToken } from './cache.js'
import { checkClaims, expiryOf, type ClaimRules } from './check-claims.js'
import { JwsParser, type UnverifiedJws } from './jws.js'
import { observed } from './observed.js'

/** How a registration's tokens are verified. */
export interface VerifierSettings extends ClaimRules {
  /** How many verified tokens are cached; 0 for none. */
  readonly cacheMax: number
  /** Milliseconds after which a token is re-checked with Access; `Infinity` for never. */
  readonly recheck: number
}

/** A team whose tokens are accepted, with the clients of its endpoints. */
export interface TrustedTeam {
  readonly team: Team
  readonly keySet: KeySet
  readonly getIdentity: GetIdentityClient
}

/** Verifies tokens by the rules of one registration. Its cache is never used by another one. */
export class Verifier implements DetailsSource {
  readonly #rules: ClaimRules
  /** By issuer. */
  readonly #teams: ReadonlyMap<unknown, TrustedTeam>
  readonly #recheck: number
  readonly #store: SharedStore | null
  readonly #parser = new JwsParser()
  readonly #cache: TokenCache | null
  /** For connections that outlive their request. */
  readonly sessions: SessionSource

  /**
   * @param signOuts tokens that are rejected though they are valid
   * @param store what other processes know
   */
  constructor (
    settings: VerifierSettings, teams: readonly TrustedTeam[], signOuts: SignOuts, store: SharedStore | null
  ) {
    this.#rules = settings
    this.#store = store
    this.#teams = new Map(teams.map(trusted => [trusted.team.issuer, trusted]))
    this.#recheck = settings.recheck
    this.#cache = settings.cacheMax > 0 ? new TokenCache(settings.cacheMax) : null
    signOuts.subscribe(token => this.#cache?.delete(token))
    const confirm = async (identity: CfAccessIdentity, token: string): Promise<void> => {
      await this.#ask(identity, token, this.#recheck)
    }
    const signOut = async (identity: CfAccessIdentity, token: string): Promise<void> => {
      const until = signedOutUntil(identity)
      signOuts.add(token, until)
      await store?.signOut(token, until - Date.now())
    }
    this.sessions = { signOuts, recheck: settings.recheck, confirm, watch: store && this.#watchBy(store), signOut }
  }

  /**
   * The identity of a token: synchronously when its key is at hand and Access does not have to be asked, else a
   * promise.
   * @param accepted the AUD tags that the request needs; checked for a cached token too
   * @throws {TokenInvalidError | TokenExpiredError}
   * @throws {KeysUnavailableError | IdentityUnavailableError}
   */
  verify (token: string, accepted: AcceptedTags): MaybePromise<CfAccessIdentity> {
    if (typeof token !== 'string') throw new TokenInvalidError('malformed')
    const now = Date.now()
    const cached = this.#lookUp(token, now)
    return channels.verify.hasSubscribers
      ? this.#report(token, accepted, cached, now)
      : this.#answer(token, accepted, cached, now)
  }

  async details (identity: CfAccessIdentity, token: string): Promise<CfAccessDetails> {
    return await this.#ask(identity, token)
  }

  /** Whether this verifier made the identity. */
  made (value: unknown): value is CfAccessIdentity {
    return isMadeBy(this, value)
  }

  #report (
    token: string, accepted: AcceptedTags, cached: CachedToken | undefined, now: number
  ): MaybePromise<CfAccessIdentity> {
    const isCached = cached !== undefined && this.#isCurrent(cached, now)
    return observed(isCached, () => this.#answer(token, accepted, cached, now))
  }

  #answer (
    token: string, accepted: AcceptedTags, cached: CachedToken | undefined, now: number
  ): MaybePromise<CfAccessIdentity> {
    if (cached === undefined) return this.#confirm(this.#verify(token, accepted, now), token)
    checkCachedAudience(cached, accepted)
    return this.#isCurrent(cached, now) ? cached.identity : this.#confirm(cached.identity, token, cached)
  }

  #lookUp (token: string, now: number): CachedToken | undefined {
    const cached = this.#cache?.get(token, now)
    if (cached === undefined) return undefined
    cached.keySet.refreshIfStale(now)
    return cached.keySet.isUsable(now) ? cached : undefined
  }

  /** Everything that the text can decide is decided before the signature is checked, and before keys are fetched. */
  #verify (token: string, accepted: AcceptedTags, now: number): MaybePromise<CfAccessIdentity> {
    const jws = this.#parser.parse(token)
    const { keySet } = this.#trustedTeam(jws.payload['iss'])
    checkClaims(jws.payload, accepted, this.#rules, now)
    return andThen(keySet.prepare(jws.kid), () => this.#verifyNow(token, accepted, jws, keySet))
  }

  /** Compared as text with the configured issuers: an issuer never says where its keys are. */
  #trustedTeam (issuer: unknown): TrustedTeam {
    const trusted = this.#teams.get(issuer)
    if (trusted === undefined) {
      throw new TokenInvalidError('issuer', { expected: [...this.#teams.keys()], received: loggable(issuer) })
    }
    return trusted
  }

  #verifyNow (
    token: string, accepted: AcceptedTags, { kid, payload, signed, signature }: UnverifiedJws, keySet: KeySet
  ): CfAccessIdentity {
    const now = Date.now()
    // Of requests that waited for the keys with the same token, the first has verified it.
    const cached = this.#lookUp(token, now)
    if (cached !== undefined) return cached.identity
    if (!verifySignature('RSA-SHA256', Buffer.from(signed, 'latin1'), keySet.getKey(kid), signature)) {
      throw new TokenInvalidError('signature')
    }
    if (this.sessions.signOuts.has(token)) throw new TokenInvalidError('signed-out')
    // Once more: the token can expire while it waits for keys.
    const expiresAt = checkClaims(payload, accepted, this.#rules, now)
    const own = this.#cache === null ? token : flatCopy(token)
    const identity = identify(payload as CfAccessClaims, own, this)
    this.#cache?.set(own, identity, expiresAt, keySet, accepted)
    return identity
  }

  #isCurrent (cached: CachedToken, now: number): boolean {
    return (this.#store === null || elapsed(cached.lookedAt, now) < LOOK_EVERY) && this.#isConfirmed(cached, now)
  }

  #isConfirmed ({ confirmedAt }: CachedToken, now: number): boolean {
    return this.#recheck === Infinity || elapsed(confirmedAt, now) < this.#recheck
  }

  #watchBy (store: SharedStore): SessionSource['watch'] {
    const watch = new StoreWatch()
    return (identity, token, revoked) =>
      watch.add(token, async () => { await this.#askOthers(identity, token, store) }, revoked)
  }

  /** With a store, asks whether another process has ended the session; with `recheck`, whether Access has. */
  #confirm (
    verified: MaybePromise<CfAccessIdentity>, token: string, cached?: CachedToken
  ): MaybePromise<CfAccessIdentity> {
    if (this.#recheck === Infinity && this.#store === null) return verified
    return andThen(verified, async identity => {
      if (this.#store !== null) await this.#askOthers(identity, token, this.#store)
      const isConfirmed = cached !== undefined && this.#isConfirmed(cached, Date.now())
      if (this.#recheck !== Infinity && !isConfirmed) await this.#ask(identity, token, this.#recheck)
      return identity
    })
  }

  /** A sign-out, or with `recheck` a revocation, that another process has told the store. */
  async #askOthers (identity: CfAccessIdentity, token: string, store: SharedStore): Promise<void> {
    const now = Date.now()
    if (await store.isSignedOut(token)) {
      this.sessions.signOuts.add(token, signedOutUntil(identity))
      throw new TokenInvalidError('signed-out')
    }
    const expiresAt = expiryOf(identity.claims, this.#rules)
    const { getIdentity } = this.#trustedTeam(identity.claims.iss)
    if (this.#recheck !== Infinity && await getIdentity.isRevoked(identity, token, expiresAt, this.#recheck)) {
      this.#cache?.delete(token)
      throw new TokenInvalidError('revoked')
    }
    this.#cache?.look(token, now)
  }

  /** Asks Access about a token, and keeps the answer with the cached token: a confirmation, or its eviction. */
  async #ask (identity: CfAccessIdentity, token: string, maxAge?: number): Promise<CfAccessDetails> {
    if (this.sessions.signOuts.has(token)) throw new TokenInvalidError('signed-out')
    try {
      const { getIdentity } = this.#trustedTeam(identity.claims.iss)
      const { at, details } = await getIdentity.ask(identity, token, expiryOf(identity.claims, this.#rules), maxAge)
      this.#cache?.confirm(token, at)
      return details
    } catch (error) {
      if (error instanceof TokenInvalidError) this.#cache?.delete(token)
      throw error
    }
  }
}

/** The tags are compared once for requests that need the same ones, since reading the claims takes most of the time. */
function checkCachedAudience (cached: CachedToken, accepted: AcceptedTags): void {
  if (cached.accepted === accepted) return
  checkAudience(cached.identity.claims.aud, accepted)
  cached.accepted = accepted
}
