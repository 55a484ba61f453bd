/** As get-jwks shows it, on a hook. */
import createError from '@fastify/error'
import { createVerifier } from 'fast-jwt'
import buildGetJwks from 'get-jwks'
import { AUDIENCE, CERTS_PATH, DOMAIN } from '../access.js'
import { onFastify, tokenReader } from '../application.js'

const Unauthorized = createError('UNAUTHORIZED', 'Unauthorized', 401)

/** @param {object} options further options of the verifier */
export function onFastJwt (options) {
  return onFastify(async (app, setting) => {
    const tokenOf = await tokenReader(app, setting)
    const getJwks = buildGetJwks({ jwksPath: CERTS_PATH, issuersWhitelist: [DOMAIN] })
    const verify = createVerifier({
      key: ({ header: { kid, alg } }) => getJwks.getPublicKey({ kid, alg, domain: DOMAIN }),
      algorithms: ['RS256'],
      allowedIss: DOMAIN,
      allowedAud: AUDIENCE,
      ...options
    })
    app.addHook('onRequest', async request => {
      try {
        await verify(tokenOf(request))
      } catch {
        throw new Unauthorized()
      }
    })
  })
}

export default onFastJwt({})
