import fastifyJwtJwks from 'fastify-jwt-jwks'
import { AUDIENCE, CERTS_URL, DOMAIN } from '../access.js'
import { onFastify, tokenReader } from '../application.js'

export default onFastify(async (app, setting) => {
  const extractToken = await tokenReader(app, setting)
  await app.register(fastifyJwtJwks, { jwksUrl: CERTS_URL, issuer: DOMAIN, audience: AUDIENCE, extractToken })
  app.addHook('onRequest', app.authenticate)
})
