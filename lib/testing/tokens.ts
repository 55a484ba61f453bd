/** Tokens like those of Cloudflare Access: those that are accepted, and those that must be rejected. */
import { createHash, randomBytes, sign as signBytes } from 'node:crypto'
import type { CfAccessDuration } from '../util/duration.js'
import { ABSENT, rejectUnknownNames, throwInvalidOption } from '../util/option-errors.js'
import { duration } from '../util/option-readers.js'
import type { SigningKey } from './keys.js'

/** A JSON object. */
export type Claims = Readonly<Record<string, unknown>>

/** A JSON object, or the exact text to send instead. A member that is `undefined` is left out. */
export type Json = Claims | string

/** The options of any token. */
export interface TokenOptions {
  /** The AUD tag, or tags. */
  readonly audience: string | readonly string[]
  /** From now until its `exp`; negative, such as `'-1m'`, for a token that has expired. Default `'1h'`. */
  readonly expiresIn?: CfAccessDuration
  /** From now until its `iat`; negative for the past. Default `'0s'`, or an hour before an `exp` in the past. */
  readonly issuedIn?: CfAccessDuration
  /** Claims to add or replace; `undefined` leaves one out. */
  readonly claims?: Readonly<Record<string, unknown>>
  /** Header parameters to add or replace; `undefined` leaves one out. */
  readonly header?: Readonly<Record<string, unknown>>
  /** Members of the get-identity response to add or replace: `groups`, `idp`, `amr`, `devicePosture` and so on. */
  readonly identity?: Readonly<Record<string, unknown>>
}

/** The options of a user's token. */
export interface UserTokenOptions extends TokenOptions {
  /** The user's address. */
  readonly email: string
  /** Two letters. Default `DE`. */
  readonly country?: string
}

/** The options of a service's token. */
export interface ServiceTokenOptions extends TokenOptions {
  /** The client ID, which ends in `.access`. */
  readonly clientId: string
}

/** The options of a certificate's token. */
export interface CertificateTokenOptions extends TokenOptions {
  /** The common name of the client's certificate. */
  readonly commonName: string
}

const COMMON_NAMES = ['audience', 'expiresIn', 'issuedIn', 'claims', 'header', 'identity']

/**
 * Checks the options of a token, so that a misspelled one does not make a test pass.
 * @param caller the method that they were given to
 * @param own its own options, each a text that is required or not
 * @throws {OptionsInvalidError}
 */
export function checkTokenOptions (
  options: TokenOptions, caller: string, own: Readonly<Record<string, 'required' | 'optional'>>
): void {
  rejectUnknownNames(Object.keys(options), [...Object.keys(own), ...COMMON_NAMES], `${caller}(options)`)
  const given = new Map<string, unknown>(Object.entries(options))
  for (const [name, need] of Object.entries(own)) {
    const value = given.get(name)
    if (typeof value !== 'string' && !(need === 'optional' && !given.has(name))) {
      throwInvalidOption(name, given.has(name) ? value : ABSENT, 'text')
    }
  }
  const tags = [options.audience].flat()
  if (tags.length === 0 || !tags.every(tag => typeof tag === 'string' && tag !== '')) {
    throwInvalidOption('audience', given.has('audience') ? options.audience : ABSENT, 'an AUD tag or a list of them')
  }
}

const HOUR = 3_600_000
const readOffset = duration({ min: '-3650d', max: '3650d' })

/** Signs any payload with any header, also malformed ones. */
export function signToken (payload: Json, header: Readonly<Record<string, unknown>>, key: SigningKey): string {
  const signed = `${encode({ alg: 'RS256', kid: key.kid, typ: 'JWT', ...header })}.${encode(payload)}`
  return `${signed}.${signBytes('sha256', Buffer.from(signed), key.privateKey).toString('base64url')}`
}

export function userClaims (issuer: string, { email, country = 'DE', ...options }: UserTokenOptions): Claims {
  const times = timesOf(options)
  return {
    aud: listOf(options.audience),
    email,
    ...times,
    nbf: times.iat,
    iss: issuer,
    type: 'app',
    identity_nonce: randomBytes(12).toString('base64url'),
    sub: subjectOf(email),
    country,
    ...options.claims
  }
}

export function serviceClaims (issuer: string, { clientId, ...options }: ServiceTokenOptions): Claims {
  return {
    type: 'app',
    aud: listOf(options.audience),
    ...timesOf(options),
    iss: issuer,
    common_name: clientId,
    sub: '',
    ...options.claims
  }
}

/** The claims of the token in the URL of the login redirect, which anyone can read. */
export function metaClaims (_issuer: string, { audience, ...options }: TokenOptions): Claims {
  const { iat } = timesOf(options)
  return {
    service_token_status: false,
    iat,
    service_token_id: '',
    aud: audience,
    hostname: 'app.example.com',
    type: 'meta',
    nbf: iat,
    redirect_url: '/',
    is_gateway: false,
    is_warp: false,
    auth_status: 'NONE',
    ...options.claims
  }
}

/** The claims of the token with which Access tells any client which Access application a path belongs to. */
export function matchClaims (issuer: string, { audience, ...options }: TokenOptions): Claims {
  return {
    type: 'match',
    hostname: 'app.example.com',
    auth_domain: issuer.replace(/^https?:\/\//, ''),
    aud: audience,
    app_hostname: 'app.example.com',
    iat: timesOf(options).iat,
    ...options.claims
  }
}

/** The claims of a user's session with the team's own domain. */
export function orgClaims (issuer: string, { email, ...options }: UserTokenOptions): Claims {
  const times = timesOf(options)
  return {
    aud: listOf(options.audience),
    email,
    account_id: createHash('md5').update(issuer).digest('hex'),
    ...times,
    nbf: times.iat,
    iss: issuer,
    sub: subjectOf(email),
    type: 'org',
    identity_nonce: randomBytes(12).toString('base64url'),
    ...options.claims
  }
}

/** @throws {OptionsInvalidError} for what is not a duration */
function timesOf ({ expiresIn = '1h', issuedIn }: Omit<TokenOptions, 'audience'>): { exp: number, iat: number } {
  const untilEnd = readOffset(expiresIn, 'expiresIn')
  const untilStart = issuedIn === undefined ? Math.min(0, untilEnd - HOUR) : readOffset(issuedIn, 'issuedIn')
  return { exp: secondsIn(untilEnd), iat: secondsIn(untilStart) }
}

/** Seconds since the Unix epoch, so many milliseconds from now. */
function secondsIn (milliseconds: number): number {
  return Math.floor((Date.now() + milliseconds) / 1000)
}

/** A UUID that stays the same for one e-mail address, as Access's does. */
function subjectOf (email: string): string {
  return createHash('sha256').update(email).digest('hex').slice(0, 32)
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

function listOf (audience: string | readonly string[]): readonly string[] {
  return [audience].flat()
}

function encode (value: Json): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
}
