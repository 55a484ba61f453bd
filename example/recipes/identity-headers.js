// The identity as request headers, for upstreams that cannot verify a token, and requests without Access's credentials.

/**
 * Kind and subject together identify the caller: a user's subject, a service's client ID, a certificate's common name.
 * Only a user has an e-mail address.
 *
 * Printable ASCII stays as it is. Everything else, "%" and "," are percent-encoded as UTF-8, so no value can end a
 * header, be taken for two, or hold a character that Node.js or a gateway rejects. `decodeURIComponent` decodes it.
 *
 * @param {import('fastify-cf-access').CfAccessIdentity} identity
 * @returns {Record<string, string>}
 */
export function identityHeaders (identity) {
  switch (identity.kind) {
    case 'user': return {
      'x-auth-kind': 'user',
      'x-auth-subject': encode(identity.subject),
      'x-auth-email': encode(identity.email)
    }
    case 'service': return { 'x-auth-kind': 'service', 'x-auth-subject': encode(identity.clientId) }
    case 'certificate': return { 'x-auth-kind': 'certificate', 'x-auth-subject': encode(identity.commonName) }
  }
}

/**
 * The token that was verified, for an upstream that verifies it again. It comes from the identity: a request can bring
 * a header and several cookies, and not all of them have to be valid.
 *
 * @param {import('fastify-cf-access').CfAccessIdentity} identity
 */
export function tokenHeader (identity) {
  return { 'cf-access-jwt-assertion': identity.forwardHeaders()['Cf-Access-Token'] }
}

// Access's own headers (token, service token, linked app token, e-mail address), and those that are set above.
const REMOVED = /^(?:cf_access_.*|x_auth_(?:kind|subject|email))$/

/**
 * Removes Access's credentials, and the identity headers that a client has sent. A server that makes variables of
 * headers (CGI, WSGI, PHP) takes `x_auth_email` for `x-auth-email`, so every spelling goes.
 *
 * @param {import('node:http').IncomingHttpHeaders} headers as Node.js has them, in lower case
 */
export function withoutCredentials ({ cookie, ...headers }) {
  const kept = Object.entries(headers).filter(([name]) => !REMOVED.test(name.replace(/[^a-z\d]/g, '_')))
  return { ...Object.fromEntries(kept), ...withoutTokenCookie(cookie) }
}

/**
 * The other cookies as they were, in their order.
 *
 * @param {string | undefined} cookie
 * @returns {{ cookie?: string }}
 */
export function withoutTokenCookie (cookie = '') {
  const others = cookie.split(';').filter(pair => pair.split('=', 1)[0]?.trim() !== 'CF_Authorization')
  const text = others.join(';').trim()
  return text === '' ? {} : { cookie: text }
}

/** @param {string} text */
function encode (text) {
  // Half a surrogate pair has no UTF-8.
  return text.replace(/\p{Surrogate}/gu, '\ufffd').replace(/[^!-~]|[%,]/gu, encodeURIComponent)
}
