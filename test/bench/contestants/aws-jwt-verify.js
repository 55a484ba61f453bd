import createError from '@fastify/error'
import { JwtVerifier } from 'aws-jwt-verify'
import { SimpleJwksCache } from 'aws-jwt-verify/jwk'
import { AUDIENCE, CERTS_URL, DOMAIN } from '../access.js'
import { onFastify, tokenReader } from '../application.js'

const Unauthorized = createError('UNAUTHORIZED', 'Unauthorized', 401)

// Its own fetcher speaks HTTPS only; it takes another in place.
const fetcher = { fetch: async (/** @type {string} */ url) => (await fetch(url)).arrayBuffer() }

export default onFastify(async (app, setting) => {
  const tokenOf = await tokenReader(app, setting)
  const verifier = JwtVerifier.create(
    { issuer: DOMAIN, audience: AUDIENCE, jwksUri: CERTS_URL },
    { jwksCache: new SimpleJwksCache({ fetcher }) }
  )
  app.addHook('onRequest', async request => {
    try {
      await verifier.verify(tokenOf(request))
    } catch {
      throw new Unauthorized()
    }
  })
})
