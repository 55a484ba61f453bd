/** Starts a server, with or without the plugin, and prints how many milliseconds of CPU that took. */
import { createServer } from 'node:http'
import { once } from 'node:events'

const plugin = process.argv[2]

const silent = createServer(() => {}).listen(0, '127.0.0.1')
await once(silent, 'listening')

const before = process.cpuUsage()
const { default: Fastify } = await import('fastify')
const app = Fastify()
if (plugin === 'with') {
  const { default: cfAccess } = await import('../../../dist/index.js')
  app.register(cfAccess, { teamDomain: `http://127.0.0.1:${silent.address().port}`, audience: 'a'.repeat(64) })
}
app.get('/', async () => 'ok')
await app.listen({ host: '127.0.0.1', port: 0 })
const { user, system } = process.cpuUsage(before)
process.stdout.write(String((user + system) / 1000), () => process.exit())
