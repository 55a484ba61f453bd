/**
 * The sessions of users. A session lives in two cookies of one name, as at Cloudflare: on the team's site with a token
 * that no application takes, and on an application's with a token for it. It lasts as long as those tokens.
 */
import { createHash, randomBytes } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { LRUCache } from 'lru-cache'
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

/** What a login hands to an application's site, by a code that works once. */
export interface Handover {
  readonly hostname: string
  readonly session: Session
  /** The path to go on to. */
  readonly target: string
}

// The team's own, which is in its users' tokens and no application's.
const TEAM_AUDIENCE = createHash('sha256').update('fastify-cf-access team').digest('hex')

const HANDOVER_TIME = 60_000
const MAX_HANDOVERS = 1_000

export class Sessions {
  readonly #issuer: Issuer
  readonly #users: Users
  readonly #lifetime: number
  readonly #ended = new Set<unknown>()
  readonly #handovers = new LRUCache<string, Handover>({ max: MAX_HANDOVERS, ttl: HANDOVER_TIME, perf: Date })

  /** @param lifetime in milliseconds */
  constructor (issuer: Issuer, users: Users, lifetime: number) {
    this.#issuer = issuer
    this.#users = users
    this.#lifetime = lifetime
  }

  /** Starts a session, on an application's site. */
  begin (email: string, audience: string): Session {
    return this.#mint(email, audience, {})
  }

  /** The same session, on the team's site. */
  forTeam ({ claims: { email, exp, identity_nonce: nonce } }: Session): Session {
    const token = this.#issuer.orgToken({
      email,
      audience: TEAM_AUDIENCE,
      issuedIn: '0s',
      claims: { exp, identity_nonce: nonce }
    })
    return { token, claims: decodeJwt<SessionClaims>(token) }
  }

  /**
   * The session in a cookie of an application's site, or of the team's; `null` when it has expired or was ended, or
   * when its key is no longer published.
   */
  read (cookie: string | undefined, at: 'application' | 'team'): Session | null {
    const claims = cookie === undefined ? null : readOwnToken(cookie, this.#issuer.certs.keys)
    const isSession = typeof claims?.['email'] === 'string' && !this.hasEnded(claims) &&
      claims['type'] === (at === 'team' ? 'org' : 'app')
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

  /** Keeps a session for the application's site to fetch. @returns the code to fetch it with, once, within a minute */
  handOver (handover: Handover): string {
    const code = randomBytes(24).toString('base64url')
    this.#handovers.set(code, handover)
    return code
  }

  /** `null` for a code that is unknown, too old, or another site's. */
  takeOver (code: string, hostname: string): Handover | null {
    const handover = this.#handovers.get(code)
    this.#handovers.delete(code)
    return handover?.hostname === hostname ? handover : null
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
