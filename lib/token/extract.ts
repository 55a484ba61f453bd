/** Extracts the tokens of a request: the header's, else each cookie's. */
import type { IncomingHttpHeaders } from 'node:http'
import { parseCookie } from 'cookie'
import { TOKEN_COOKIE, TOKEN_HEADER } from '../access/protocol.js'

/** The tokens of a request, in the order in which they are tried. */
export type ReadTokens = (headers: IncomingHttpHeaders) => readonly string[]

// A browser can have one for each path-scoped Access application. Bounded, to prevent denial of service.
const MAX_COOKIES = 4

const NONE: readonly string[] = []

/**
 * A request with the header never falls back to a cookie, whatever the header contains. Node joins a repeated header
 * with a comma, so it is not a token.
 */
export function readHeader (headers: IncomingHttpHeaders): readonly string[] {
  const header = headers[TOKEN_HEADER]
  return header === undefined ? NONE : [String(header)]
}

/** Reads the header, else the cookies. */
export function readHeaderOrCookies (headers: IncomingHttpHeaders): readonly string[] {
  const fromHeader = readHeader(headers)
  return fromHeader !== NONE || headers.cookie === undefined ? fromHeader : readCookies(headers.cookie)
}

/** Parses one pair at a time, since the parser keeps only the first cookie of a name. */
function readCookies (header: string): readonly string[] {
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
