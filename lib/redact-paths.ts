/** Headers that contain credentials, as paths for the logger. */
import { CLIENT_SECRET_HEADER, LINKED_TOKEN_HEADER, TOKEN_HEADER } from './access/protocol.js'

const SECRET_HEADERS = [TOKEN_HEADER, LINKED_TOKEN_HEADER, CLIENT_SECRET_HEADER, 'cookie', 'authorization']

/**
 * Paths for the option `redact` of pino, for an application that logs headers: the token's header and cookie,
 * `Authorization`, and the headers of service tokens and linked app tokens, in `req.headers`, `headers` and any other
 * object's `headers`; and the cookies that a response sets.
 * @see pino docs: Redaction
 */
export const redactPaths: readonly string[] = Object.freeze([
  ...['headers', '*.headers'].flatMap(path => SECRET_HEADERS.map(name => `${path}["${name}"]`)),
  '*.headers["set-cookie"]'
])
