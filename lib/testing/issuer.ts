/** A team's name and keys, and the tokens it signs with them. */
import { createPublicKey, verify } from 'node:crypto'
import type { SigningKeys } from './keys.js'
import {
  matchClaims, metaClaims, orgClaims, serviceClaims, signToken, userClaims,
  type CertificateTokenOptions, type Claims, type Json, type ServiceTokenOptions, type TokenOptions, type UserTokenOptions
} from './tokens.js'

export class Issuer {
  /** The team's address, which is the issuer its tokens name. */
  readonly domain: string
  readonly #keys: SigningKeys

  constructor (domain: string, keys: SigningKeys) {
    this.domain = domain
    this.#keys = keys
  }

  /** A token as a user brings it after logging in. */
  userToken (options: UserTokenOptions): string {
    return this.sign(userClaims(this.domain, options), options.header)
  }

  /** A token as a service token's holder brings it. */
  serviceToken (options: ServiceTokenOptions): string {
    return this.sign(serviceClaims(this.domain, options), options.header)
  }

  /** A token as a client with an mTLS certificate brings it. */
  certificateToken ({ commonName, ...options }: CertificateTokenOptions): string {
    return this.serviceToken({ ...options, clientId: commonName })
  }

  /** Not a login: the `meta` token of a login redirect, which anybody can have. */
  metaToken (options: TokenOptions): string {
    return this.sign(metaClaims(this.domain, options), options.header)
  }

  /** Not a login: the `match` token of Access's metadata header, which anybody can have. */
  matchToken (options: TokenOptions): string {
    return this.sign(matchClaims(this.domain, options), options.header)
  }

  /** Not a login here: a user's session with the team's own domain. */
  orgToken (options: UserTokenOptions): string {
    return this.sign(orgClaims(this.domain, options), options.header)
  }

  /**
   * Signs whatever it is given.
   * @param payload claims, or the very text of the payload
   * @param header parameters to add, to replace, or to leave out by `undefined`
   * @param which the key to sign with; `current` by default
   */
  sign (payload: Json, header: Readonly<Record<string, unknown>> = {}, which: 'current' | 'previous' = 'current'): string {
    return signToken(payload, header, this.#keys.both[which === 'current' ? 0 : 1])
  }

  /** The JWK Set it publishes. */
  get certs (): Readonly<Record<'keys', ReadonlyArray<Readonly<Record<string, unknown>>>>> {
    return { keys: this.#keys.both.map(({ jwk }) => jwk) }
  }

  /** Makes a new current key. The current one becomes the previous, and the previous is published no longer. */
  async rotateKeys (): Promise<void> {
    await this.#keys.rotate()
  }
}

/** The claims of a token that one of these keys signed and that has not expired, or `null`. */
export function readOwnToken (token: string, keys: ReadonlyArray<Readonly<Record<string, unknown>>>): Claims | null {
  const [header = '', payload = '', signature = ''] = token.split('.')
  const isOwn = keys.some(key =>
    verify('sha256', Buffer.from(`${header}.${payload}`), createPublicKey({ key, format: 'jwk' }), Buffer.from(signature, 'base64url')))
  if (!isOwn) return null
  const claims = readClaims(payload)
  return typeof claims?.['exp'] === 'number' && claims['exp'] * 1000 > Date.now() ? claims : null
}

/** `null` for what {@link Issuer.sign} was given that no token holds. */
function readClaims (payload: string): Claims | null {
  try {
    return JSON.parse(Buffer.from(payload, 'base64url').toString()) as Claims | null
  } catch {
    return null
  }
}
