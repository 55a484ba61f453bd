/** The sessions of users. A session is the token in the browser's cookie, and lasts as long as that token. */
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { readOwnToken, type Issuer } from '../testing/issuer.js'
import type { Claims } from '../testing/tokens.js'
import type { Users } from './users.js'

export interface Session {
  readonly token: string
  readonly claims: SessionClaims
}

export interface SessionClaims extends Claims {
  readonly aud: readonly string[]
  readonly email: string
  readonly exp: number
  /** The same in each token of one session. */
  readonly identity_nonce: string
}

export class Sessions {
  readonly #issuer: Issuer
  readonly #users: Users
  readonly #lifetime: number
  readonly #ended = new Set<unknown>()

  /** @param lifetime in milliseconds */
  constructor (issuer: Issuer, users: Users, lifetime: number) {
    this.#issuer = issuer
    this.#users = users
    this.#lifetime = lifetime
  }

  /** Starts a session. */
  begin (email: string, audience: string): Session {
    return this.#mint(email, audience, {})
  }

  /** The session in a cookie; `null` when it has expired or was ended, or when its key is no longer published. */
  read (cookie: string | undefined): Session | null {
    const claims = cookie === undefined ? null : readOwnToken(cookie, this.#issuer.certs.keys)
    const isSession = typeof claims?.['email'] === 'string' && !this.hasEnded(claims)
    return isSession ? { token: cookie!, claims: claims as SessionClaims } : null
  }

  /**
   * The session as an application is to get it: for itself, and signed with the current key. It ends
   * when it would have.
   */
  forApplication (session: Session, audience: string): Session {
    const { claims: { aud, email, exp, identity_nonce: nonce }, token } = session
    const isAsIs = aud.includes(audience) && decodeProtectedHeader(token).kid === this.#issuer.certs.keys[0]!['kid']
    return isAsIs ? session : this.#mint(email, audience, { exp, identity_nonce: nonce })
  }

  /** Ends it for every application, as Access does. */
  end ({ claims }: Session): void {
    this.#ended.add(claims.identity_nonce)
  }

  hasEnded (claims: Claims): boolean {
    return this.#ended.has(claims['identity_nonce'])
  }

  #mint (email: string, audience: string, claims: Claims): Session {
    const { country, claims: own } = this.#users.find(email)
    const token = this.#issuer.userToken({
      email,
      audience,
      expiresIn: `${this.#lifetime}ms`,
      issuedIn: '0s',
      claims: { ...own, ...claims },
      ...(country !== null && { country })
    })
    return { token, claims: decodeJwt<SessionClaims>(token) }
  }
}
