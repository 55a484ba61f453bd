/** As get-jwks shows it. */
import fastifyJwt from '@fastify/jwt'
import buildGetJwks from 'get-jwks'
import { AUDIENCE, CERTS_PATH, DOMAIN } from '../access.js'
import { onFastify, tokenReader } from '../application.js'

export default onFastify(async (app, setting) => {
  const extractToken = await tokenReader(app, setting)
  const getJwks = buildGetJwks({ jwksPath: CERTS_PATH, issuersWhitelist: [DOMAIN] })
  await app.register(fastifyJwt, {
    decode: { complete: true },
    secret: (request, { header: { kid, alg }, payload: { iss } }, callback) => {
      getJwks.getPublicKey({ kid, domain: iss, alg }).then(publicKey => callback(null, publicKey), callback)
    },
    verify: { algorithms: ['RS256'], allowedIss: DOMAIN, allowedAud: AUDIENCE, extractToken }
  })
  app.addHook('onRequest', async request => { await request.jwtVerify() })
})
