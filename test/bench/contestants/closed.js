/** Nobody comes in, and nobody is looked at: what a refusal costs Fastify itself. */
import createError from '@fastify/error'
import { onFastify } from '../application.js'

const Refused = createError('REFUSED', 'Refused', 401, Error, false)

export default onFastify(app => {
  app.addHook('onRequest', (request, reply, done) => done(new Refused()))
})
