import { cloudflareAccess } from '@hono/cloudflare-access'
import { AUDIENCE, TEAM } from '../access.js'
import { onHono } from '../application.js'

export default onHono(app => app.use('*', cloudflareAccess(TEAM, AUDIENCE)))
