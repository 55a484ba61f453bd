/** What of an unverified token can be logged. */

// AUD tags and kids, teams, token types, names of algorithms: texts that identify no user.
const FORMS = [
  '[\\da-f]{64}',
  'https://[a-z\\d-]{1,63}(?:\\.fed)?\\.cloudflareaccess\\.com',
  'https?://(?:localhost|127\\.0\\.0\\.1|\\[::1\\])(?::\\d{1,5})?',
  'app|org|meta|match',
  'none|[EHPR]S\\d{3}'
]
const KNOWN = new RegExp(`^(?:${FORMS.join('|')})$`)

/** More items of a list are counted only. */
const MAX_ITEMS = 8

/** A claim as it can be logged: a text of a known form as it is, any other value by its kind and length. */
export function loggable (claim: unknown): unknown {
  if (typeof claim === 'string') return KNOWN.test(claim) ? claim : `a text of ${claim.length} characters`
  if (!Array.isArray(claim)) return claim === undefined ? 'absent' : `a value of the type ${typeof claim}`
  const items = claim.slice(0, MAX_ITEMS).map(item => Array.isArray(item) ? 'a list' : loggable(item))
  return claim.length > MAX_ITEMS ? [...items, `and ${claim.length - MAX_ITEMS} more`] : items
}
