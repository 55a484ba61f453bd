/** The names of Cloudflare Access's protocol: headers, cookie, paths. */

/** The request header with the token, as Node spells it. */
export const TOKEN_HEADER = 'cf-access-jwt-assertion'

/** The request header with the user's e-mail address. An origin must not trust it: only the token is signed. */
export const EMAIL_HEADER = 'cf-access-authenticated-user-email'

/** The request headers with which a machine logs in at the edge. They prove nothing to an origin. */
export const CLIENT_ID_HEADER = 'cf-access-client-id'
export const CLIENT_SECRET_HEADER = 'cf-access-client-secret'

/** The request header with a linked app token. */
export const LINKED_TOKEN_HEADER = 'cf-access-token'

/** The cookie with the token. */
export const TOKEN_COOKIE = 'CF_Authorization'

/** Paths at and under this one belong to Cloudflare on every hostname. */
export const RESERVED_PATH = '/cdn-cgi'

/** Access's own endpoints are under this path, on the team domain and on every protected hostname. */
export const ACCESS_PATH = `${RESERVED_PATH}/access`

/** Where the Zero Trust dashboard shows the AUD tag of an application. */
export const AUD_TAG_PLACE = 'Access controls > Applications > your application > Configure > Additional settings'
