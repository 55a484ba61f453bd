/** Rejects every request without a look at it: what a rejection costs Fastify itself. */
import createError from '@fastify/error'
import { onFastify } from '../application.js'

const Rejected = createError('REFUSED', 'Rejected', 401, Error, false)

export default onFastify(app => {
  app.addHook('onRequest', (request, reply, done) => done(new Rejected()))
})
