/** A wildcard route beside a guarded prefix, so that the guard has to interpret each target. */
import cfAccess from '../../../dist/index.js'
import { AUDIENCE, TEAM } from '../access.js'
import { onFastify } from '../application.js'

export default onFastify(app => {
  app.register(cfAccess, { teamDomain: TEAM, audience: AUDIENCE, prefix: '/admin' })
  app.all('/*', async () => ({ hello: 'world' }))
})
