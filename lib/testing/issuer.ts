/** A team's name and keys, and the tokens it signs with them. */
import { createPublicKey, verify } from 'node:crypto'
import type { SigningKeys } from './keys.js'
import {
  checkTokenOptions, matchClaims, metaClaims, orgClaims, serviceClaims, signToken, userClaims,
  type CertificateTokenOptions, type Claims, type Json, type ServiceTokenOptions, type TokenOptions,
  type UserTokenOptions
} from './tokens.js'

export class Issuer {
  /** The team's address, which is the `iss` of its tokens. */
  readonly domain: string
  readonly #keys: SigningKeys

  constructor (domain: string, keys: SigningKeys) {
    this.domain = domain
    this.#keys = keys
  }

  /**
   * A token as a user sends it after logging in.
   * @throws {OptionsInvalidError} for an unknown or malformed option, as do the other methods
   */
  userToken (options: UserTokenOptions): string {
    checkTokenOptions(options, 'userToken', { email: 'required', country: 'optional' })
    return this.sign(userClaims(this.domain, options), options.header)
  }

  /** A token as the holder of a service token sends it. */
  serviceToken (options: ServiceTokenOptions): string {
    checkTokenOptions(options, 'serviceToken', { clientId: 'required' })
    return this.sign(serviceClaims(this.domain, options), options.header)
  }

  /** A token as a client with an mTLS certificate sends it. */
  certificateToken (given: CertificateTokenOptions): string {
    checkTokenOptions(given, 'certificateToken', { commonName: 'required' })
    const { commonName, ...options } = given
    return this.serviceToken({ ...options, clientId: commonName })
  }

  /** Must be rejected: the `meta` token of a login redirect, which anyone can fetch. */
  metaToken (options: TokenOptions): string {
    checkTokenOptions(options, 'metaToken', {})
    return this.sign(metaClaims(this.domain, options), options.header)
  }

  /** Must be rejected: the `match` token of Access's metadata header, which anyone can fetch. */
  matchToken (options: TokenOptions): string {
    checkTokenOptions(options, 'matchToken', {})
    return this.sign(matchClaims(this.domain, options), options.header)
  }

  /** Must be rejected: a user's session with the team's own domain. */
  orgToken (options: UserTokenOptions): string {
    checkTokenOptions(options, 'orgToken', { email: 'required', country: 'optional' })
    return this.sign(orgClaims(this.domain, options), options.header)
  }

  /**
   * Signs any payload, also a malformed one.
   * @param payload claims, or the exact text of the payload
   * @param header parameters to add, to replace, or to leave out by `undefined`
   * @param which the key to sign with; `current` by default
   */
  sign (
    payload: Json, header: Readonly<Record<string, unknown>> = {}, which: 'current' | 'previous' = 'current'
  ): string {
    return signToken(payload, header, this.#keys[which])
  }

  /** The JWK Set it publishes. */
  get certs (): Readonly<Record<'keys', ReadonlyArray<Readonly<Record<string, unknown>>>>> {
    return { keys: [this.#keys.current.jwk, this.#keys.previous.jwk] }
  }

  /** Makes a new current key. The current one becomes the previous one, and the previous one is no longer published. */
  async rotateKeys (): Promise<void> {
    await this.#keys.rotate()
  }
}

/** The claims of a token that one of these keys signed and that has not expired, or `null`. */
export function readOwnToken (token: string, keys: ReadonlyArray<Readonly<Record<string, unknown>>>): Claims | null {
  const [header = '', payload = '', signature = ''] = token.split('.')
  const isOwn = keys.some(key =>
    verify('sha256', Buffer.from(`${header}.${payload}`), createPublicKey({ key, format: 'jwk' }),
      Buffer.from(signature, 'base64url')))
  if (!isOwn) return null
  const claims = readClaims(payload)
  return typeof claims?.['exp'] === 'number' && claims['exp'] * 1000 > Date.now() ? claims : null
}

/** `null` for a payload that is not JSON, which {@link Issuer.sign} can sign. */
function readClaims (payload: string): Claims | null {
  try {
    return JSON.parse(Buffer.from(payload, 'base64url').toString()) as Claims | null
  } catch {
    return null
  }
}
