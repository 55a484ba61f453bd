/** Who a verified token speaks of. */
import { TokenInvalidError } from './errors.js'

/**
 * The payload of a verified application token. Declared claims are those Cloudflare documents;
 * any other is `unknown`.
 * @see Cloudflare docs: Application token
 */
export interface CfAccessClaims {
  readonly iss: string
  readonly aud: string | readonly string[]
  /** Seconds since the Unix epoch. */
  readonly exp: number
  /** Seconds since the Unix epoch. */
  readonly iat: number
  /** Seconds since the Unix epoch. */
  readonly nbf?: number
  readonly type: 'app'
  /** The person's ID; empty for services and certificates. */
  readonly sub: string
  readonly email?: string
  /** Two letters, ISO 3166. */
  readonly country?: string
  /** The client ID of a service token, or the common name of a client certificate. */
  readonly common_name?: string
  readonly identity_nonce?: string
  /** Attributes of the identity provider. Access drops some when they grow large. */
  readonly custom?: Readonly<Record<string, unknown>>
  readonly [claim: string]: unknown
}

/** What every kind of identity has. Frozen, and shared by all requests that bring the same token. */
abstract class Identity {
  /** The whole verified payload. */
  readonly claims: CfAccessClaims
  /** Milliseconds since the Unix epoch. */
  readonly issuedAt: number
  /** Milliseconds since the Unix epoch: the token's `exp`, without any tolerance. */
  readonly expiresAt: number
  /** Who verified it. */
  readonly #voucher: object

  constructor (claims: CfAccessClaims, voucher: object) {
    this.claims = claims
    this.issuedAt = claims.iat * 1000
    this.expiresAt = claims.exp * 1000
    this.#voucher = voucher
  }

  static isFrom (voucher: object, value: unknown): value is CfAccessIdentity {
    return typeof value === 'object' && value !== null && #voucher in value && value.#voucher === voucher
  }
}

/** A person who logged in. */
export class CfAccessUser extends Identity {
  readonly kind = 'user'
  /** As the identity provider spells it. */
  readonly email: string
  /** Cloudflare's ID for this person in this account. */
  readonly subject: string
  /** Two letters, ISO 3166, where Access knows it. */
  readonly country?: string

  constructor (claims: CfAccessClaims & { email: string }, voucher: object) {
    super(claims, voucher)
    this.email = claims.email
    this.subject = claims.sub
    if (claims.country !== undefined) this.country = claims.country
    Object.freeze(this)
  }
}

/** A machine with an Access service token. */
export class CfAccessService extends Identity {
  readonly kind = 'service'
  /** The service token's client ID; it ends in `.access`. */
  readonly clientId: string

  constructor (claims: CfAccessClaims & { common_name: string }, voucher: object) {
    super(claims, voucher)
    this.clientId = claims.common_name
    Object.freeze(this)
  }
}

/** A client with an mTLS certificate. */
export class CfAccessCertificate extends Identity {
  readonly kind = 'certificate'
  /** The certificate's common name. */
  readonly commonName: string

  constructor (claims: CfAccessClaims & { common_name: string }, voucher: object) {
    super(claims, voucher)
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
 * @param voucher the verifier that answers for it
 * @throws {TokenInvalidError} when they speak of nobody, or of more than one kind: nobody is let in as "unknown".
 */
export function identify (claims: CfAccessClaims, voucher: object): CfAccessIdentity {
  freezeDeep(claims, MAX_DEPTH)
  if (isUser(claims)) return new CfAccessUser(claims, voucher)
  if (!isMachine(claims)) throw new TokenInvalidError('identity')
  return claims.common_name.endsWith('.access')
    ? new CfAccessService(claims, voucher)
    : new CfAccessCertificate(claims, voucher)
}

/** Whether `value` is an identity that this verifier itself made. */
export const isFrom = Identity.isFrom

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

function freezeDeep (value: unknown, depth: number): void {
  if (typeof value !== 'object' || value === null) return
  if (depth === 0) throw new TokenInvalidError('identity')
  for (const member of Object.values(value)) freezeDeep(member, depth - 1)
  Object.freeze(value)
}
