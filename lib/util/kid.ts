/** The `kid` of a token's header and of a published key (RFC 7515, section 4.1.4). */

const KID = /^[\x21-\x7e]{1,128}$/

/** Whether a value can be the `kid` of a key: text of 1 to 128 visible ASCII characters. */
export function isKid (value: unknown): value is string {
  return typeof value === 'string' && KID.test(value)
}
