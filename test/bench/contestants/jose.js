/** Every request verified, by keys that createRemoteJWKSet keeps. */
import createError from '@fastify/error'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { AUDIENCE, CERTS_URL, DOMAIN } from '../access.js'
import { onFastify, tokenReader } from '../application.js'

const Unauthorized = createError('UNAUTHORIZED', 'Unauthorized', 401)

export default onFastify(async (app, setting) => {
  const tokenOf = await tokenReader(app, setting)
  const keys = createRemoteJWKSet(new URL(CERTS_URL))
  app.addHook('onRequest', async request => {
    try {
      await jwtVerify(tokenOf(request), keys, { issuer: DOMAIN, audience: AUDIENCE, algorithms: ['RS256'] })
    } catch {
      throw new Unauthorized()
    }
  })
})
