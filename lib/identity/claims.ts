/**
 * The claims of an application token. In its own file: users can merge only an interface that is exported with a star.
 */

/**
 * The payload of a verified application token. It declares the claims that Cloudflare documents; any other claim is
 * `unknown`, also `custom` with the attributes of an identity provider. Declare your own for your whole app by merging:
 *
 * ```ts
 * declare module 'fastify-cf-access' {
 *   interface CfAccessClaims {
 *     readonly custom?: { readonly department?: string }
 *   }
 * }
 * ```
 *
 * A declaration is not checked at run time, and Access drops large attributes: declare them as optional.
 *
 * @see Cloudflare docs: Application token
 */
export interface CfAccessClaims {
  /** The issuer: the team's address. */
  readonly iss: string
  /** The AUD tag, or tags. */
  readonly aud: string | readonly string[]
  /** Seconds since the Unix epoch. */
  readonly exp: number
  /** Seconds since the Unix epoch. */
  readonly iat: number
  /** Seconds since the Unix epoch. */
  readonly nbf?: number
  /** Only application tokens are accepted. */
  readonly type: 'app'
  /** The user's ID; empty for services and certificates. */
  readonly sub: string
  /** A user's address. */
  readonly email?: string
  /** Two letters, ISO 3166. */
  readonly country?: string
  /** The client ID of a service token, or the common name of a client certificate. */
  readonly common_name?: string
  /** Of a user's session: the same in each of its tokens. */
  readonly identity_nonce?: string
  readonly [claim: string]: unknown
}
