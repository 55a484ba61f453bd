/** Starts an application, with or without the plugin, and prints how many milliseconds that took. */
import { createServer } from 'node:http'
import { once } from 'node:events'
import Fastify from 'fastify'
import 'jose'

const [plugin, fetched] = process.argv.slice(2)

const silent = createServer(() => {}).listen(0, '127.0.0.1')
await once(silent, 'listening')
if (fetched === 'fetch was used before') await fetch('data:,')

const started = performance.now()
const app = Fastify()
if (plugin === 'with') {
  const { default: cfAccess } = await import('../../../dist/index.js')
  app.register(cfAccess, { teamDomain: `http://127.0.0.1:${silent.address().port}`, audience: 'a'.repeat(64) })
}
app.get('/', async () => 'ok')
await app.listen({ host: '127.0.0.1', port: 0 })
process.stdout.write(String(performance.now() - started), () => process.exit())
