/** What an application token says. In a file of its own, since only an interface that is exported by a star can be merged with. */

/**
 * The payload of a verified application token. Declared claims are those Cloudflare documents;
 * any other is `unknown`, `custom` with the attributes of an identity provider too. Declare your own,
 * for the whole application, by merging:
 *
 * ```ts
 * declare module 'fastify-cf-access' {
 *   interface CfAccessClaims {
 *     readonly custom?: { readonly department?: string }
 *   }
 * }
 * ```
 *
 * Nothing checks what you declare when it runs, and Access drops attributes that grow large: leave them optional.
 *
 * @see Cloudflare docs: Application token
 */
export interface CfAccessClaims {
  /** The issuer: the team's address. */
  readonly iss: string
  /** The AUD tag, or tags, the token is for. */
  readonly aud: string | readonly string[]
  /** Seconds since the Unix epoch. */
  readonly exp: number
  /** Seconds since the Unix epoch. */
  readonly iat: number
  /** Seconds since the Unix epoch. */
  readonly nbf?: number
  /** Application tokens alone pass. */
  readonly type: 'app'
  /** The user's ID; empty for services and certificates. */
  readonly sub: string
  /** A user's address. */
  readonly email?: string
  /** Two letters, ISO 3166. */
  readonly country?: string
  /** The client ID of a service token, or the common name of a client certificate. */
  readonly common_name?: string
  /** Of a user's login: the same for as long as it lasts. */
  readonly identity_nonce?: string
  readonly [claim: string]: unknown
}
