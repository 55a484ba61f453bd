/** Who a verified token speaks of. */
import { TokenInvalidError } from '../errors.js'
import { freezeDeep } from '../util/freeze.js'
import type { CfAccessClaims } from './claims.js'
import type { CfAccessDetails, CfAccessMachineDetails, CfAccessUserDetails } from './details.js'

/** Who verified a token, and can ask Access about it. */
export interface DetailsSource {
  details (identity: CfAccessIdentity, token: string): Promise<CfAccessDetails>
}

/** What every kind of identity has. Frozen, and shared by all requests that bring the same token. */
abstract class Identity<Details extends CfAccessDetails> {
  /** The whole verified payload. */
  readonly claims: CfAccessClaims
  /** Milliseconds since the Unix epoch. */
  readonly issuedAt: number
  /** Milliseconds since the Unix epoch: the token's `exp`, without any tolerance. */
  readonly expiresAt: number
  readonly #token: string
  readonly #source: DetailsSource

  constructor (claims: CfAccessClaims, token: string, voucher: DetailsSource) {
    this.claims = claims
    this.issuedAt = claims.iat * 1000
    this.expiresAt = claims.exp * 1000
    this.#token = token
    this.#source = voucher
  }

  /**
   * Asks Access what it knows of this identity. Remembered for `details.maxAge`.
   * @throws {TokenInvalidError} as a rejection, when Access does not accept the token any longer.
   * @throws {IdentityUnavailableError} as a rejection, when it cannot be learnt now.
   * @see Cloudflare docs: Application token, User identity
   */
  async details (): Promise<Details> {
    return await this.#source.details(this as unknown as CfAccessIdentity, this.#token) as Details
  }

  /**
   * Headers that carry this identity on, for a request to another application behind Access whose
   * policy admits linked app tokens. They hold the token itself: send them nowhere else.
   * @see Cloudflare docs: Linked app token
   */
  forwardHeaders (): Record<'Cf-Access-Token', string> {
    return { 'Cf-Access-Token': this.#token }
  }

  static isMadeBy (voucher: DetailsSource, value: unknown): value is CfAccessIdentity {
    return typeof value === 'object' && value !== null && #source in value && value.#source === voucher
  }
}

/** A user who logged in. */
export class CfAccessUser extends Identity<CfAccessUserDetails> {
  /** Tells the three kinds apart, for TypeScript too. */
  readonly kind = 'user'
  /** As the identity provider spells it. */
  readonly email: string
  /** Cloudflare's ID for this user in this account. */
  readonly subject: string
  /** Two letters, ISO 3166, where Access knows it. */
  readonly country?: string

  constructor (claims: CfAccessClaims & { email: string }, token: string, voucher: DetailsSource) {
    super(claims, token, voucher)
    this.email = claims.email
    this.subject = claims.sub
    if (claims.country !== undefined) this.country = claims.country
    Object.freeze(this)
  }
}

/** A machine with an Access service token. */
export class CfAccessService extends Identity<CfAccessMachineDetails> {
  /** Tells the three kinds apart, for TypeScript too. */
  readonly kind = 'service'
  /** The service token's client ID; it ends in `.access`. */
  readonly clientId: string

  constructor (claims: CfAccessClaims & { common_name: string }, token: string, voucher: DetailsSource) {
    super(claims, token, voucher)
    this.clientId = claims.common_name
    Object.freeze(this)
  }
}

/** A client with an mTLS certificate. */
export class CfAccessCertificate extends Identity<CfAccessMachineDetails> {
  /** Tells the three kinds apart, for TypeScript too. */
  readonly kind = 'certificate'
  /** The certificate's common name. */
  readonly commonName: string

  constructor (claims: CfAccessClaims & { common_name: string }, token: string, voucher: DetailsSource) {
    super(claims, token, voucher)
    this.commonName = claims.common_name
    Object.freeze(this)
  }
}

/** Who a request comes from. Tell the kinds apart by `kind`. */
export type CfAccessIdentity = CfAccessUser | CfAccessService | CfAccessCertificate

// Deeper than any claim of Access's, and shallow enough for every recursive reader, JSON.stringify included.
const MAX_DEPTH = 32

// No blanks and no control characters, so that a name stays one word wherever it is written.
const NAME = /^[^\s\p{Cc}]{1,320}$/u
const COMMON_NAME = /^[^\p{Cc}]{1,320}$/u

/**
 * The identity that verified claims speak of.
 * @param voucher whoever verified them, and can ask Access about them
 * @throws {TokenInvalidError} when they speak of nobody, or of more than one kind: nobody is let in as "unknown".
 */
export function identify (claims: CfAccessClaims, token: string, voucher: DetailsSource): CfAccessIdentity {
  if (!freezeDeep(claims, MAX_DEPTH)) throw new TokenInvalidError('identity')
  if (isUser(claims)) return new CfAccessUser(claims, token, voucher)
  if (!isMachine(claims)) throw new TokenInvalidError('identity')
  return claims.common_name.endsWith('.access')
    ? new CfAccessService(claims, token, voucher)
    : new CfAccessCertificate(claims, token, voucher)
}

/** Whether `value` is an identity that this verifier itself made. */
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

/** Whether two tokens of one team speak of the same user, service or certificate. */
export function isSamePrincipal (a: CfAccessIdentity, b: CfAccessIdentity): boolean {
  return a.claims.iss === b.claims.iss && a.kind === b.kind &&
    a.claims.sub === b.claims.sub && a.claims.common_name === b.claims.common_name
}
