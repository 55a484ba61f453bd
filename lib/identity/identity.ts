/** The identity of a verified token. */
import { TokenInvalidError, type RejectionFacts } from '../errors.js'
import { freezeDeep } from '../util/freeze.js'
import { loggable } from '../util/loggable.js'
import type { CfAccessClaims } from './claims.js'
import type { CfAccessDetails, CfAccessMachineDetails, CfAccessUserDetails } from './details.js'
import type { SignOuts } from './sign-outs.js'

/** Made an identity, and can ask Access about it. */
export interface DetailsSource {
  details (identity: CfAccessIdentity, token: string): Promise<CfAccessDetails>
  /** `null` where sessions are not watched. */
  readonly sessions: SessionSource | null
}

/** What can tell that a session has ended. */
export interface SessionSource {
  readonly signOuts: SignOuts
  /** Milliseconds after which a token is re-checked with Access; `Infinity` for never. */
  readonly recheck: number
  /** @throws {TokenInvalidError} when Access no longer accepts the token. */
  confirm (identity: CfAccessIdentity, token: string): Promise<void>
  /**
   * Looks once a second whether another process has ended the session; `null` where processes share nothing. A sign-out
   * is added to `signOuts`.
   * @param revoked is called when another process was told that Access no longer accepts the token
   * @returns a function that ends it
   */
  readonly watch: ((identity: CfAccessIdentity, token: string, revoked: () => void) => () => void) | null
  /** Ends the session here, and wherever the store is shared. */
  signOut (identity: CfAccessIdentity, token: string): Promise<void>
}

/** The session of one identity. */
export interface Session {
  readonly token: string
  readonly signOuts: SignOuts
  readonly recheck: number
  readonly confirm: () => Promise<void>
  readonly watch: ((revoked: () => void) => () => void) | null
  readonly signOut: () => Promise<void>
}

/** What every kind of identity has. Frozen, and shared by all requests with the same token. */
abstract class Identity<Details extends CfAccessDetails> {
  /** The whole verified payload. */
  readonly claims: CfAccessClaims
  /** Milliseconds since the Unix epoch. */
  readonly issuedAt: number
  /** Milliseconds since the Unix epoch: the token's `exp`, without the clock tolerance. */
  readonly expiresAt: number
  readonly #token: string
  readonly #source: DetailsSource

  constructor (claims: CfAccessClaims, token: string, source: DetailsSource) {
    this.claims = claims
    this.issuedAt = claims.iat * 1000
    this.expiresAt = claims.exp * 1000
    this.#token = token
    this.#source = source
  }

  /**
   * Asks Access what it knows of this identity. The answer is cached for `details.maxAge`.
   * @throws {TokenInvalidError} as a rejection, when Access no longer accepts the token.
   * @throws {IdentityUnavailableError} as a rejection, when get-identity is unavailable.
   * @see Cloudflare docs: Application token, User identity
   */
  async details (): Promise<Details> {
    return await this.#source.details(this as unknown as CfAccessIdentity, this.#token) as Details
  }

  /**
   * Headers that forward this identity, for a request to another Access application whose policy allows linked app
   * tokens. They contain the token itself: send them nowhere else.
   * @see Cloudflare docs: Linked app token
   */
  forwardHeaders (): Record<'Cf-Access-Token', string> {
    return { 'Cf-Access-Token': this.#token }
  }

  /** `null` for what no verifier made. */
  static sessionOf (identity: CfAccessIdentity): Session | null {
    if (!(#source in identity) || identity.#source.sessions === null) return null
    const { sessions } = identity.#source
    const token = identity.#token
    const { signOuts, recheck, watch } = sessions
    return {
      token,
      signOuts,
      recheck,
      confirm: async () => sessions.confirm(identity, token),
      watch: watch && (revoked => watch(identity, token, revoked)),
      signOut: async () => sessions.signOut(identity, token)
    }
  }

  static isMadeBy (source: DetailsSource, value: unknown): value is CfAccessIdentity {
    return typeof value === 'object' && value !== null && #source in value && value.#source === source
  }
}

/** A user who logged in. */
export class CfAccessUser extends Identity<CfAccessUserDetails> {
  /** Distinguishes the three kinds, also for TypeScript. */
  readonly kind = 'user'
  /** As the identity provider spells it. */
  readonly email: string
  /** Cloudflare's ID of this user in this account. */
  readonly subject: string
  /** Two letters, ISO 3166, if Access knows it. */
  readonly country?: string
  /** Only a service has one. */
  declare readonly clientId?: undefined
  /** Only a certificate has one. */
  declare readonly commonName?: undefined

  constructor (claims: CfAccessClaims & { email: string }, token: string, source: DetailsSource) {
    super(claims, token, source)
    this.email = claims.email
    this.subject = claims.sub
    if (claims.country !== undefined) this.country = claims.country
    Object.freeze(this)
  }
}

/** A machine with an Access service token. */
export class CfAccessService extends Identity<CfAccessMachineDetails> {
  /** Distinguishes the three kinds, also for TypeScript. */
  readonly kind = 'service'
  /** The service token's client ID; it ends in `.access`. */
  readonly clientId: string
  /** Only a user has one. */
  declare readonly email?: undefined
  /** Only a user has one. */
  declare readonly subject?: undefined
  /** Only a user has one. */
  declare readonly country?: undefined
  /** Only a certificate has one. */
  declare readonly commonName?: undefined

  constructor (claims: CfAccessClaims & { common_name: string }, token: string, source: DetailsSource) {
    super(claims, token, source)
    this.clientId = claims.common_name
    Object.freeze(this)
  }
}

/** A client with an mTLS certificate. */
export class CfAccessCertificate extends Identity<CfAccessMachineDetails> {
  /** Distinguishes the three kinds, also for TypeScript. */
  readonly kind = 'certificate'
  /** The certificate's common name. */
  readonly commonName: string
  /** Only a user has one. */
  declare readonly email?: undefined
  /** Only a user has one. */
  declare readonly subject?: undefined
  /** Only a user has one. */
  declare readonly country?: undefined
  /** Only a service has one. */
  declare readonly clientId?: undefined

  constructor (claims: CfAccessClaims & { common_name: string }, token: string, source: DetailsSource) {
    super(claims, token, source)
    this.commonName = claims.common_name
    Object.freeze(this)
  }
}

/** The identity of a request: a user, a service or a certificate, by `kind`. */
export type CfAccessIdentity = CfAccessUser | CfAccessService | CfAccessCertificate

// Deeper than any claim of Access, and shallow enough for every recursive function, such as JSON.stringify.
const MAX_DEPTH = 32

// No blanks and no control characters, so that a name is one word wherever it is written.
const NAME = /^[^\s\p{Cc}]{1,320}$/u
const COMMON_NAME = /^[^\p{Cc}]{1,320}$/u

/**
 * The identity of verified claims.
 * @param source verified them, and can ask Access about them
 * @throws {TokenInvalidError} when they name no identity, or more than one kind: there is no "unknown" identity.
 */
export function identify (claims: CfAccessClaims, token: string, source: DetailsSource): CfAccessIdentity {
  if (!freezeDeep(claims, MAX_DEPTH)) throw new TokenInvalidError('identity')
  if (isUser(claims)) return new CfAccessUser(claims, token, source)
  if (!isMachine(claims)) throw new TokenInvalidError('identity', factsOf(claims))
  return claims.common_name.endsWith('.access')
    ? new CfAccessService(claims, token, source)
    : new CfAccessCertificate(claims, token, source)
}

/** Which of the claims that name someone are there, and how long they are. */
function factsOf (claims: CfAccessClaims): RejectionFacts {
  const { sub, email, common_name: commonName } = claims
  const received = { sub: loggable(sub), email: loggable(email), commonName: loggable(commonName) }
  return { expected: 'one user, service or certificate', received }
}

export const sessionOf = Identity.sessionOf

/** Whether `value` is an identity that this source made. */
export const isMadeBy = Identity.isMadeBy

function isUser (claims: CfAccessClaims): claims is CfAccessClaims & { email: string } {
  return claims.sub !== '' && isName(claims.email, NAME) &&
    (claims.country === undefined || isName(claims.country, NAME))
}

function isMachine (claims: CfAccessClaims): claims is CfAccessClaims & { common_name: string } {
  return claims.sub === '' && claims.email === undefined && isName(claims.common_name, COMMON_NAME)
}

function isName (value: unknown, form: RegExp): value is string {
  return typeof value === 'string' && form.test(value)
}

/**
 * Whether two identities are the same user, service or certificate of one team. Their subject and common name also
 * determine their kind.
 */
export function isSamePrincipal (a: CfAccessIdentity, b: CfAccessIdentity): boolean {
  return a.claims.iss === b.claims.iss && a.claims.sub === b.claims.sub &&
    a.claims.common_name === b.claims.common_name
}
