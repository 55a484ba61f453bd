/** The token on a request: the header's, else each cookie's. */
import type { IncomingHttpHeaders } from 'node:http'
import { TOKEN_COOKIE, TOKEN_HEADER } from '../access/protocol.js'
import type { CookieCodec, ParseCookie } from '../util/cookie-codec.js'

/** The tokens a request brings, in the order they are to be tried. */
export type ReadTokens = (headers: IncomingHttpHeaders) => readonly string[]

// A browser can have one for each path-scoped Access application. Bounded, to prevent denial of service.
const MAX_COOKIES = 4

const NONE: readonly string[] = []

/**
 * With a header there is no falling back to a cookie, whatever the header holds. One that came more
 * than once is joined by Node with a comma, and so is no token.
 */
export function readHeader (headers: IncomingHttpHeaders): readonly string[] {
  const header = headers[TOKEN_HEADER]
  return header === undefined ? NONE : [String(header)]
}

/** Reads the header, else the cookies. */
export function headerOrCookies ({ parseCookie }: CookieCodec): ReadTokens {
  return headers => {
    const fromHeader = readHeader(headers)
    if (fromHeader !== NONE || headers.cookie === undefined) return fromHeader
    return readCookies(headers.cookie, parseCookie)
  }
}

/** Hands the parser one pair at a time, since it keeps only the first of a name. */
function readCookies (header: string, parseCookie: ParseCookie): readonly string[] {
  const tokens: string[] = []
  let at = header.indexOf(TOKEN_COOKIE)
  while (at !== -1 && tokens.length < MAX_COOKIES) {
    const start = header.lastIndexOf(';', at) + 1
    const end = header.indexOf(';', at)
    const pair = header.slice(start, end === -1 ? undefined : end)
    const token = parseCookie(pair)[TOKEN_COOKIE]
    if (token !== undefined) tokens.push(token)
    at = end === -1 ? -1 : header.indexOf(TOKEN_COOKIE, end)
  }
  return tokens
}
