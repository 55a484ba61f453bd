// The recipe behind an emulator for Cloudflare's edge, in one process: `node example/recipes/accounts/server.js`.
// The accounts are in memory, in the SQLite file ACCOUNTS_FILE, or in the PostgreSQL database DATABASE_URL.
import Fastify from 'fastify'
import cfAccess from 'fastify-cf-access'
import { createAccessEdge } from 'fastify-cf-access/dev'
import { accountOf, accounts } from './accounts.js'

const AUDIENCE = 'f8612530c08484786e83e00ff7b549bc3763747beae55ec909cc28a6a56b81d1'
const DEPLOYER = { clientId: 'e367826f93b8d71185e03fe518aff3b4.access', clientSecret: 'not-a-secret' }
const UNKNOWN = { clientId: '0b1e7c5d2f9a4836b7d0c1e2f3a4b5c6.access', clientSecret: 'not-a-secret' }
const { PORT = '3000', EDGE_PORT = '4000', ACCOUNTS_FILE = ':memory:', DATABASE_URL } = process.env

const edge = await createAccessEdge({
  to: `http://127.0.0.1:${PORT}`,
  port: Number(EDGE_PORT),
  users: [
    { email: 'alice@example.com', name: 'Alice', groups: ['admins', 'staff'] },
    { email: 'bob@example.com', name: 'Bob', groups: ['staff'] },
    { email: 'mallory@example.com', name: 'Mallory, whose account is disabled' }
  ],
  serviceTokens: [DEPLOYER, UNKNOWN],
  applications: [{ path: '/', audience: AUDIENCE }]
})
const store = await openStore()
// Bob and Mallory had accounts before the application was behind Access.
await store.invite('bob@example.com')
const mallory = await store.invite('mallory@example.com')
if (mallory !== null) await store.setDisabled(mallory, true)

const app = Fastify()
await app.register(cfAccess, { teamDomain: edge.domain, audience: AUDIENCE })
await app.register(accounts, {
  store,
  services: { [DEPLOYER.clientId]: { account: 'deployer', roles: ['deploy'] } },
  // The emulator's users log in with a one-time PIN, which proves that they receive the address's mail.
  verifiedBy: ['onetimepin'],
  // The application's own roles. An identity provider that sends IDs of groups is asked for an ID.
  rolesOf: groups => groups.some(({ name }) => name === 'admins') ? ['admin'] : []
})
app.addHook('onClose', async () => {
  await Promise.all([edge.close(), store.close()])
})

app.get('/', async request => accountOf(request))
app.get('/admin', async (request, reply) => {
  const { roles } = accountOf(request)
  return roles.includes('admin') ? 'the back office\n' : reply.code(403).send('for admins\n')
})

await app.listen({ port: Number(PORT), host: '127.0.0.1' })
console.log(`Open

  ${edge.url}

and sign in as Alice, who gets an account, as Bob, who had one, or as Mallory, whose account is disabled.
Without a browser, a machine that was declared, and one that was not:

  curl ${edge.url} -H 'CF-Access-Client-Id: ${DEPLOYER.clientId}' -H 'CF-Access-Client-Secret: not-a-secret'
  curl ${edge.url} -H 'CF-Access-Client-Id: ${UNKNOWN.clientId}' -H 'CF-Access-Client-Secret: not-a-secret'

Press Ctrl+C to stop.`)

/** Each is loaded only where it is used. */
async function openStore () {
  if (DATABASE_URL === undefined) return (await import('./sqlite.js')).openSqlite(ACCOUNTS_FILE)
  return (await import('./postgres.js')).openPostgres({ connectionString: DATABASE_URL })
}
