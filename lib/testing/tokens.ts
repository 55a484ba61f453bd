/** Tokens shaped like those Cloudflare Access sends: those that may pass, and those that must not. */
import { createHash, randomBytes, sign as signBytes } from 'node:crypto'
import type { SigningKey } from './keys.js'

/** A JSON object. */
export type Claims = Readonly<Record<string, unknown>>

/** A JSON object, or the very text to send in its place. A member that is `undefined` is left out. */
export type Json = Claims | string

/** What any token can be told. */
export interface TokenOptions {
  /** The AUD tag, or tags, it is for. */
  readonly audience: string | readonly string[]
  /** Seconds from now until its `exp`; negative for a token that has expired. Default 3,600. */
  readonly expiresIn?: number
  /** Seconds from now until its `iat`. Default 0, or an hour before an `exp` in the past. */
  readonly issuedIn?: number
  /** Claims to add, to replace, or to leave out by `undefined`. */
  readonly claims?: Readonly<Record<string, unknown>>
  /** Header parameters to add, to replace, or to leave out by `undefined`. */
  readonly header?: Readonly<Record<string, unknown>>
  /** What get-identity tells beside, or in place of, its defaults: `groups`, `idp`, `amr`, `devicePosture` and so on. */
  readonly identity?: Readonly<Record<string, unknown>>
}

/** A user's token. */
export interface UserTokenOptions extends TokenOptions {
  /** The user's address. */
  readonly email: string
  /** Two letters. Default `DE`. */
  readonly country?: string
}

/** A service's token. */
export interface ServiceTokenOptions extends TokenOptions {
  /** The client ID, which ends in `.access`. */
  readonly clientId: string
}

/** A certificate's token. */
export interface CertificateTokenOptions extends TokenOptions {
  /** The common name of the client's certificate. */
  readonly commonName: string
}

const HOUR = 3600

/** Signs any payload under any header, however wrong. */
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

/** What the login redirect carries in its address, for anybody to read. */
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

/** What Access answers to anybody who asks which application a path belongs to. */
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

/** The session a user has with the team's own domain. */
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

function timesOf ({ expiresIn = HOUR, issuedIn = Math.min(0, expiresIn - HOUR) }: Omit<TokenOptions, 'audience'>): { exp: number, iat: number } {
  const now = Math.floor(Date.now() / 1000)
  return { exp: now + expiresIn, iat: now + issuedIn }
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
