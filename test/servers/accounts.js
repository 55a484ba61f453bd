// The recipe of accounts: the same behaviour on SQLite and on a real PostgreSQL.
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, mock, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import Fastify from 'fastify'
import cfAccess, { guard } from 'fastify-cf-access'
import { createAccessTeam } from 'fastify-cf-access/testing'
import Database from 'libsql'
import pg from 'pg'
import { accountOf, accounts } from '../../example/recipes/accounts/accounts.js'
import { openPostgres } from '../../example/recipes/accounts/postgres.js'
import { openSqlite } from '../../example/recipes/accounts/sqlite.js'
import { freePort } from '../fixtures/free-port.js'
import { startPostgres } from '../fixtures/postgres.js'

/** @typedef {import('../../example/recipes/accounts/types.js').AccountStore} AccountStore */
/** @typedef {import('../../example/recipes/accounts/types.js').AccountsOptions} AccountsOptions */

/**
 * A database of one test, which several stores can share, as those of several processes do.
 *
 * @typedef {object} TestDatabase
 * @property {() => Promise<AccountStore>} open
 * @property {(sql: string) => Promise<Record<string, unknown>[]>} run
 * @property {() => Promise<void>} drop
 */

const AUDIENCE = 'f8612530c08484786e83e00ff7b549bc3763747beae55ec909cc28a6a56b81d1'
const DEPLOYER = 'e367826f93b8d71185e03fe518aff3b4.access'
const NEXT_DEPLOYER = '5c0de5c0de5c0de5c0de5c0de5c0de5c.access'
const UNKNOWN = '0b1e7c5d2f9a4836b7d0c1e2f3a4b5c6.access'
const SERVER = fileURLToPath(new URL('../../example/recipes/accounts/server.js', import.meta.url))

/** Groups by name become roles. @type {AccountsOptions['rolesOf']} */
const rolesOf = groups => groups.map(({ name }) => String(name))

const verified = { verifiedBy: ['onetimepin'] }

/** @type {Awaited<ReturnType<typeof createAccessTeam>>} */
let team
/** @type {Awaited<ReturnType<typeof startPostgres>>} */
let postgres

before(async () => {
  [team, postgres] = await Promise.all([createAccessTeam(), startPostgres()])
})

after(async () => {
  await Promise.all([team.close(), postgres.stop()])
})

/** @returns {Promise<TestDatabase>} */
async function sqliteDatabase () {
  const folder = await mkdtemp(join(tmpdir(), 'accounts-'))
  const path = join(folder, 'accounts.db')
  return {
    open: async () => openSqlite(path),
    run: async sql => {
      const db = new Database(path, { timeout: 5000 })
      try {
        if (sql.startsWith('SELECT')) return /** @type {Record<string, unknown>[]} */ (db.prepare(sql).all([]))
        db.exec(sql)
        return []
      } finally {
        db.close()
      }
    },
    drop: async () => rm(folder, { recursive: true })
  }
}

let schemas = 0

/** @returns {Promise<TestDatabase>} */
async function postgresDatabase () {
  const schema = `test_${++schemas}`
  const client = new pg.Client({ ...postgres.config, options: `-c search_path=${schema}` })
  await client.connect()
  await client.query(`CREATE SCHEMA ${schema}`)
  return {
    open: async () => openPostgres({ ...postgres.config, options: `-c search_path=${schema}` }),
    run: async sql => (await client.query(sql)).rows,
    drop: async () => client.end()
  }
}

/**
 * A user's token.
 *
 * @param {string} subject
 * @param {string} email
 * @param {Record<string, unknown>} [identity] what get-identity answers
 * @param {typeof team} [issuer]
 */
function user (subject, email, identity = {}, issuer = team) {
  return issuer.userToken({ audience: AUDIENCE, email, claims: { sub: subject }, identity })
}

/** @param {string} clientId */
function service (clientId) {
  return team.serviceToken({ audience: AUDIENCE, clientId })
}

/** @param {string} commonName */
function certificate (commonName) {
  return team.certificateToken({ audience: AUDIENCE, commonName })
}

/**
 * The account that a request gets, or the status and code of its rejection.
 *
 * @param {import('fastify').FastifyInstance} app
 * @param {string} token
 * @param {string} [url]
 */
async function ask (app, token, url = '/') {
  const answer = await app.inject({ url, headers: { 'cf-access-jwt-assertion': token } })
  return answer.statusCode === 200 ? answer.json() : `${answer.statusCode} ${answer.json().code}`
}

/** @param {string} path */
function countRequests (path) {
  return team.requests.filter(({ path: asked }) => asked.includes(path)).length
}

for (const [kind, create] of /** @type {const} */ ([['SQLite', sqliteDatabase], ['PostgreSQL', postgresDatabase]])) {
  describe(kind, { concurrency: false }, () => {
    /**
     * @param {string} title
     * @param {(context: Awaited<ReturnType<typeof start>>) => Promise<void>} run
     */
    function check (title, run) {
      test(title, async () => {
        const context = await start()
        try {
          await run(context)
        } finally {
          await context.stop()
        }
      })
    }

    async function start () {
      const db = await create()
      const store = await db.open()
      /** @type {string[]} */
      const lines = []
      /** @type {(() => Promise<unknown>)[]} */
      const closing = [() => store.close()]

      /**
       * A server of its own; with `ownStore`, like another process.
       *
       * @param {Partial<AccountsOptions>} [options]
       * @param {AccountStore} [ownStore]
       */
      async function serve (options, ownStore = store) {
        const stream = { write: (/** @type {string} */ line) => { lines.push(line) } }
        const app = Fastify({ logger: { level: 'trace', stream } })
        await app.register(cfAccess, { teamDomain: team.domain, audience: AUDIENCE })
        await app.register(accounts, { store: ownStore, ...options })
        app.get('/', async request => accountOf(request))
        await app.ready()
        closing.unshift(() => app.close())
        return app
      }

      async function openAnother () {
        const another = await db.open()
        closing.push(() => another.close())
        return another
      }

      async function stop () {
        for (const close of closing) await close()
        await db.drop()
      }

      const count = async (table = 'accounts') => Number((await db.run(`SELECT count(*) AS n FROM ${table}`))[0]?.['n'])
      return { db, store, serve, openAnother, count, lines, stop }
    }

    check('a first request makes an account, and later ones find it', async ({ serve, count }) => {
      const app = await serve()
      const first = await ask(app, user('a', 'alice@acme.com'))
      assert.match(first.id, /^[\da-f]{8}-/)
      assert.deepEqual({ ...first, id: '' },
        { id: '', kind: 'user', email: 'alice@acme.com', machine: null, roles: [] })
      assert.deepEqual(await ask(app, user('a', 'alice@acme.com')), first)
      assert.notEqual((await ask(app, user('b', 'bob@acme.com'))).id, first.id)
      assert.equal(await count(), 2)
    })

    check('fifty first requests at once, of two processes, get one account', async ({ serve, openAnother, count }) => {
      const apps = [await serve(), await serve({}, await openAnother())]
      const tokens = [user('a', 'alice@acme.com'), user('a', 'alice@acme.com')]
      const found = await Promise.all(Array.from({ length: 50 }, (_, i) =>
        ask(/** @type {any} */ (apps[i % 2]), String(tokens[i % 4 >> 1]))))
      assert.equal(new Set(found.map(({ id }) => id)).size, 1)
      assert.match(found[0].id, /^[\da-f]{8}-/)
      assert.deepEqual([await count(), await count('users')], [1, 1], 'and no other is left')
    })

    check('fifty who have all found no account get one', async ({ store, openAnother, count }) => {
      const stores = [store, await openAnother()]
      const key = { issuer: 'https://acme.cloudflareaccess.com', subject: 'a' }
      const found = await Promise.all(Array.from({ length: 50 }, (_, i) =>
        /** @type {AccountStore} */ (stores[i % 2]).provide(key, 'alice@acme.com', false)))
      assert.equal(new Set(found.map(({ id }) => id)).size, 1)
      assert.deepEqual([await count(), await count('users')], [1, 1])
    })

    check('fifty first requests at once of a user whose account waits link it',
      async ({ store, serve, openAnother, count }) => {
        const id = await store.invite('alice@acme.com')
        const apps = [await serve(verified), await serve(verified, await openAnother())]
        const token = user('a', 'alice@acme.com')
        const found = await Promise.all(Array.from({ length: 50 }, (_, i) =>
          ask(/** @type {any} */ (apps[i % 2]), token)))
        assert.deepEqual(new Set(found.map(account => account.id)), new Set([id]))
        assert.deepEqual([await count(), await count('users')], [1, 1])
      })

    check('two users with one address at once: one is linked, the other gets an account of its own',
      async ({ store, openAnother, count }) => {
        const id = await store.invite('alice@acme.com')
        const stores = [store, await openAnother()]
        const found = await Promise.all(['a', 'b'].map((subject, i) =>
        /** @type {AccountStore} */ (stores[i]).provide({ issuer: 'i', subject }, 'alice@acme.com', true)))
        assert.equal(found.filter(account => account.id === id).length, 1)
        assert.equal(new Set(found.map(account => account.id)).size, 2)
        assert.equal(await count(), 2)
      })

    check('the same subject of another team is another user', async ({ store, count }) => {
      const other = await createAccessTeam()
      const app = Fastify()
      try {
        await app.register(cfAccess, { teamDomain: [team.domain, other.domain], audience: AUDIENCE })
        await app.register(accounts, { store })
        app.get('/', async request => accountOf(request))
        const one = await ask(app, user('a', 'alice@acme.com'))
        const two = await ask(app, user('a', 'alice@acme.com', {}, other))
        assert.notEqual(one.id, two.id)
        assert.equal(await count(), 2)
      } finally {
        await app.close()
        await other.close()
      }
    })

    check('subjects are compared exactly, and are only values to the database', async ({ serve, count }) => {
      const app = await serve()
      const subjects = ['a', 'A', ' a', 'a ', 'á', 'a\u0301', '%', '\'; DROP TABLE users; --', '$1', '?']
      const ids = []
      for (const subject of subjects) ids.push((await ask(app, user(subject, 'alice@acme.com'))).id)
      assert.equal(new Set(ids).size, subjects.length)
      assert.equal(await ask(app, user('a\0', 'alice@acme.com')), '403 ACCOUNT_NONE')
      assert.equal(await count('users'), subjects.length)
    })

    check('a new address does not change the account, and links to none', async ({ store, serve, count }) => {
      const waiting = await store.invite('alice.jones@acme.com')
      const app = await serve(verified)
      const { id } = await ask(app, user('a', 'alice@acme.com'))
      const moved = await ask(app, user('a', 'alice.jones@acme.com'))
      assert.deepEqual([moved.id, moved.email], [id, 'alice.jones@acme.com'])
      assert.equal(await store.isAwaited('alice.jones@acme.com'), true, 'still waits')
      assert.equal((await ask(app, user('b', 'alice.jones@acme.com'))).id, waiting)
      assert.equal(await count(), 2)
    })

    check('another user with an old address gets an account of its own', async ({ store, serve, db }) => {
      const id = await store.invite('alice@acme.com')
      const app = await serve({ ...verified, rolesOf })
      const first = await ask(app, user('a', 'alice@acme.com', { groups: ['admins'] }))
      assert.equal(first.id, id)
      const second = await ask(app, user('b', 'alice@acme.com'))
      assert.notEqual(second.id, id)
      assert.deepEqual(second.roles, [])
      assert.equal((await ask(app, user('a', 'alice.jones@acme.com', { groups: ['admins'] }))).id, id)
      assert.equal((await ask(app, user('b', 'alice@acme.com'))).id, second.id)
      const stored = await db.run('SELECT email FROM accounts ORDER BY email')
      assert.deepEqual(stored.map(({ email }) => email), ['alice.jones@acme.com', 'alice@acme.com'])
    })

    check('an account that waits is linked by a verified address, once', async ({ store, serve, db, count }) => {
      const id = await store.invite('Alice@Acme.com')
      assert.equal(await store.invite('aLICE@acme.com'), null, 'one account waits for an address')
      const app = await serve(verified)
      assert.equal((await ask(app, user('a', 'ALICE@acme.COM'))).id, id)
      assert.equal((await ask(app, user('a', 'alice@acme.com'))).id, id)
      assert.equal(await store.isAwaited('alice@acme.com'), false)
      assert.notEqual((await ask(app, user('b', 'alice@acme.com'))).id, id, 'not a second time')
      await db.run('DELETE FROM users')
      assert.notEqual((await ask(app, user('c', 'alice@acme.com'))).id, id, 'and not when its user is gone')
      assert.equal(await count(), 3)
    })

    check('an account that has a user is not linked, even if told to wait again', async ({ serve, db, count }) => {
      const app = await serve(verified)
      const { id } = await ask(app, user('a', 'alice@acme.com'))
      await db.run("UPDATE accounts SET awaited_email = 'alice@acme.com'")
      assert.equal(await ask(app, user('b', 'alice@acme.com')), '503 ACCOUNTS_UNAVAILABLE')
      assert.equal((await ask(app, user('a', 'alice@acme.com'))).id, id)
      assert.deepEqual([await count(), await count('users')], [1, 1])
    })

    check('accounts from before can be told to wait, by the statement of the README', async ({ serve, db }) => {
      const letters = kind === 'SQLite' ? 'lower(email)' : 'lower(email COLLATE "C")'
      const ids = ['5c9b5b5e-3d5f-4d4c-9d6c-0d9c3a1f4b01', '5c9b5b5e-3d5f-4d4c-9d6c-0d9c3a1f4b02']
      const emails = ['Alice@Acme.com', 'ÉVE@acme.com']
      for (const i of [0, 1]) await db.run(`INSERT INTO accounts (id, email) VALUES ('${ids[i]}', '${emails[i]}')`)
      await db.run(`UPDATE accounts SET awaited_email = ${letters} WHERE id NOT IN (SELECT account_id FROM users)`)
      const app = await serve(verified)
      assert.equal((await ask(app, user('a', 'alice@acme.com'))).id, ids[0])
      assert.equal((await ask(app, user('e', 'Éve@acme.com'))).id, ids[1])
    })

    for (const [title, email, identity, options] of /** @type {const} */ ([
      ['no provider is trusted', 'alice@acme.com', {}, {}],
      ['another provider is trusted', 'alice@acme.com', {}, { verifiedBy: ['azureAD'] }],
      ['the user\'s provider is another', 'alice@acme.com', { idp: { id: 'x', type: 'oidc' } }, verified],
      ['the provider is unknown', 'alice@acme.com', { idp: undefined }, verified],
      ['the provider says unverified', 'alice@acme.com', { oidc_fields: { email_verified: false } }, verified],
      ['the provider says so in text', 'alice@acme.com', { oidc_fields: { email_verified: 'false' } }, verified],
      ['the address is another', 'alice@acme.com.example', {}, verified],
      ['the address folds to it in Unicode only', 'alice@acme.com'.replace('c', '\u0441'), {}, verified],
      ['a Kelvin sign is not a k', 'mi\u212Ae@acme.com', {}, verified]
    ])) {
      check(`an account goes on waiting when ${title}`, async ({ store, serve }) => {
        const addresses = ['alice@acme.com', 'mike@acme.com']
        const waiting = await Promise.all(addresses.map(address => store.invite(address)))
        const { id } = await ask(await serve(options), user('a', email, identity))
        assert.match(id, /^[\da-f]{8}-/)
        assert.ok(!waiting.includes(id))
        assert.deepEqual(await Promise.all(addresses.map(address => store.isAwaited(address))), [true, true])
      })
    }

    check('a provider can be trusted by its ID, and can say that it has verified', async ({ store, serve }) => {
      const id = await store.invite('alice@acme.com')
      const identity = { idp: { id: 'our-okta', type: 'oidc' }, oidc_fields: { email_verified: true } }
      assert.equal((await ask(await serve({ verifiedBy: ['our-okta'] }), user('a', 'alice@acme.com', identity))).id, id)
    })

    check('while Access cannot tell, a user whose account waits gets 503 and no other account',
      async ({ store, serve, count }) => {
        const id = await store.invite('alice@acme.com')
        const app = await serve(verified)
        team.outage('error', 'get-identity')
        try {
          assert.equal(await ask(app, user('a', 'alice@acme.com')), '503 FST_CF_ACCESS_IDENTITY_UNAVAILABLE')
          assert.equal((await ask(app, user('b', 'bob@acme.com'))).email, 'bob@acme.com', 'others need not wait')
        } finally {
          team.outage(null)
        }
        assert.equal(await count(), 2)
        // Another server, whose requests to get-identity do not back off.
        assert.equal((await ask(await serve(verified), user('a', 'alice@acme.com'))).id, id)
      })

    check('a disabled account stays disabled', async ({ store, serve, count }) => {
      const app = await serve({ ...verified, rolesOf, rolesMaxAge: 0 })
      const { id } = await ask(app, user('a', 'alice@acme.com'))
      await store.setDisabled(id, true)
      const asked = countRequests('get-identity')
      for (const email of ['alice@acme.com', 'alice.jones@acme.com', 'alice@acme.com']) {
        assert.equal(await ask(app, user('a', email)), '403 ACCOUNT_DISABLED', email)
      }
      assert.equal(countRequests('get-identity'), asked, 'nothing is refreshed')
      await store.setDisabled(id, false)
      assert.equal((await ask(app, user('a', 'alice@acme.com'))).id, id)
      assert.equal(await count(), 1)
    })

    check('a disabled account that waits is linked, and stays disabled', async ({ store, serve, count }) => {
      await store.setDisabled(String(await store.invite('alice@acme.com')), true)
      const app = await serve(verified)
      for (let i = 0; i < 2; i++) assert.equal(await ask(app, user('a', 'alice@acme.com')), '403 ACCOUNT_DISABLED')
      assert.deepEqual([await count(), await count('users')], [1, 1])
    })

    check('a service gets the account that it is declared for; an unknown one gets 403',
      async ({ store, serve, openAnother, count }) => {
        const account = 'deployer'
        const services = { [DEPLOYER]: { account, roles: ['deploy'] }, [NEXT_DEPLOYER]: { account } }
        const apps = [await serve({ services }), await serve({ services }, await openAnother())]
        const [app] = /** @type {[import('fastify').FastifyInstance]} */ (/** @type {unknown} */ (apps))
        const found = await Promise.all(Array.from({ length: 50 }, (_, i) =>
          ask(/** @type {any} */ (apps[i % 2]), service(DEPLOYER))))
        const [{ id }] = found
        for (const one of found) {
          assert.deepEqual(one, { id, kind: 'machine', email: null, machine: 'deployer', roles: ['deploy'] })
        }
        assert.deepEqual(await ask(app, service(NEXT_DEPLOYER)), { ...found[0], roles: [] }, 'its successor')
        assert.equal(await ask(app, service(UNKNOWN)), '403 ACCOUNT_NONE')
        assert.deepEqual([await count(), await count('users')], [1, 0])
        await store.setDisabled(id, true)
        assert.equal(await ask(app, service(DEPLOYER)), '403 ACCOUNT_DISABLED')
      })

    check('certificates get 403, unless they are declared', async ({ serve, count }) => {
      const services = { 'build machine 7': { account: 'wrong list' } }
      assert.equal(await ask(await serve({ services }), certificate('build machine 7')), '403 ACCOUNT_NONE')
      assert.equal(await ask(await serve(), service(DEPLOYER)), '403 ACCOUNT_NONE')
      const app = await serve({ certificates: { 'build machine 7': { account: 'builder' } } })
      assert.equal((await ask(app, certificate('build machine 7'))).machine, 'builder')
      for (const name of ['build machine 8', 'constructor', '__proto__']) {
        assert.equal(await ask(app, certificate(name)), '403 ACCOUNT_NONE', name)
      }
      assert.equal(await count(), 1)
    })

    check('roles come from the groups, at most once in five minutes', async ({ serve, openAnother }) => {
      mock.timers.enable({ apis: ['Date'], now: Date.now() })
      try {
        const apps = [await serve({ rolesOf }), await serve({ rolesOf }, await openAnother())]
        const [app, other] = /** @type {import('fastify').FastifyInstance[]} */ (apps)
        /** A new login each time, since the plugin caches `details()` too. @param {any} app @param {string[]} groups */
        const roles = async (app, groups) => (await ask(app, user('a', 'alice@acme.com', { groups }))).roles
        assert.deepEqual(await roles(app, ['admins', 'staff']), ['admins', 'staff'])
        mock.timers.tick(4 * 60_000)
        const asked = countRequests('get-identity')
        assert.deepEqual(await roles(app, ['staff']), ['admins', 'staff'])
        assert.deepEqual(await roles(other, ['staff']), ['admins', 'staff'], 'another process')
        assert.equal(countRequests('get-identity'), asked)
        mock.timers.tick(60_000)
        const refreshed = await Promise.all(Array.from({ length: 20 }, (_, i) => roles(i % 2 ? app : other, ['staff'])))
        assert.equal(countRequests('get-identity'), asked + 1, 'one of twenty')
        assert.ok(refreshed.some(list => String(list) === 'staff'))
        assert.deepEqual(refreshed.filter(list => !['staff', 'admins,staff'].includes(String(list))), [],
          'the others have those that are stored')
        assert.deepEqual(await roles(other, ['admins', 'owners']), ['staff'], 'a group that was left')
        mock.timers.setTime(Date.now() - 3 * 60_000)
        assert.deepEqual(await roles(app, ['later']), ['staff'])
        mock.timers.setTime(Date.now() - 3 * 60_000)
        assert.deepEqual(await roles(app, ['later']), ['later'], 'a clock that was set back')
      } finally {
        mock.timers.reset()
      }
    })

    check('all of the first requests wait for the first roles', async ({ serve }) => {
      const app = await serve({ rolesOf })
      const token = user('a', 'alice@acme.com', { groups: ['staff'] })
      const found = await Promise.all(Array.from({ length: 20 }, () => ask(app, token)))
      assert.deepEqual(new Set(found.map(({ roles }) => String(roles))), new Set(['staff']))
    })

    for (const [title, groups] of /** @type {const} */ ([
      ['does not tell them', undefined],
      ['sends text', 'owners'],
      ['sends something else', { owners: true }]
    ])) {
      check(`roles stay as they are when the identity provider ${title}`, async ({ serve }) => {
        const app = await serve({ rolesOf, rolesMaxAge: 0 })
        assert.deepEqual((await ask(app, user('a', 'alice@acme.com', { groups: ['staff'] }))).roles, ['staff'])
        assert.deepEqual((await ask(app, user('a', 'alice@acme.com', { groups }))).roles, ['staff'])
        assert.deepEqual((await ask(app, user('b', 'bob@acme.com', { groups }))).roles, [], 'a new account has none')
        assert.deepEqual((await ask(app, user('a', 'alice@acme.com', { groups: [] }))).roles, [], 'no group is known')
      })
    }

    check('roles stay as they are while get-identity fails', async ({ serve }) => {
      const app = await serve({ rolesOf, rolesMaxAge: 0 })
      assert.deepEqual((await ask(app, user('a', 'alice@acme.com', { groups: ['staff'] }))).roles, ['staff'])
      team.outage('error', 'get-identity')
      try {
        assert.deepEqual((await ask(app, user('a', 'alice@acme.com', { groups: ['owners'] }))).roles, ['staff'])
        assert.deepEqual((await ask(app, user('b', 'bob@acme.com', { groups: ['owners'] }))).roles, [])
      } finally {
        team.outage(null)
      }
    })

    check('unknown groups do not bring back roles that an operator removes meanwhile', async ({ serve, store, db }) => {
      const app = await serve({ rolesOf, rolesMaxAge: 0 })
      await ask(app, user('a', 'alice@acme.com', { groups: ['admins'] }))
      const none = kind === 'SQLite' ? '[]' : '{}'
      team.outage((_request, response) => {
        db.run(`UPDATE accounts SET roles = '${none}'`).then(() => response.writeHead(500).end())
      }, 'get-identity')
      try {
        assert.deepEqual((await ask(app, user('a', 'alice@acme.com'))).roles, ['admins'])
      } finally {
        team.outage(null)
      }
      assert.deepEqual((await store.find({ issuer: team.domain, subject: 'a' }))?.roles, [])
    })

    check('a session that Access has ended is rejected when the roles are due', async ({ serve }) => {
      const app = await serve({ rolesOf, rolesMaxAge: 0 })
      const token = user('a', 'alice@acme.com', { groups: ['staff'] })
      team.revoke(token)
      assert.equal(await ask(app, token), '401 FST_CF_ACCESS_TOKEN_INVALID')
    })

    check('an answer that comes after a later refresh is dropped', async ({ store }) => {
      const key = { issuer: 'i', subject: 'a' }
      const { id } = await store.provide(key, 'alice@acme.com', false)
      assert.equal(await store.claimRoles(id, null, 1000), true)
      assert.equal(await store.claimRoles(id, null, 1001), false, 'taken')
      assert.equal(await store.claimRoles(id, 1000, 2000), true)
      await store.setRoles(id, 2000, ['staff'])
      await store.setRoles(id, 1000, ['admins', 'staff'])
      const account = await store.find(key)
      assert.deepEqual([account?.roles, account?.rolesCheckedAt], [['staff'], 2000])
    })

    check('roles are only values to the database', async ({ store }) => {
      const key = { issuer: 'i', subject: 'a' }
      const roles = ['a,b', '{c}', '"d"', '\\', 'null', '', 'é']
      const { id } = await store.provide(key, 'alice@acme.com', false)
      await store.claimRoles(id, null, 1)
      await store.setRoles(id, 1, roles)
      assert.deepEqual((await store.find(key))?.roles, roles)
    })

    check('without an identity there is no account', async ({ store, count }) => {
      const app = Fastify()
      const stranger = await createAccessTeam()
      await app.register(cfAccess, { teamDomain: team.domain, audience: AUDIENCE, global: false })
      await app.register(accounts, { store })
      app.get('/', { config: { cfAccess: 'optional' } }, async ({ account }) => ({ account }))
      app.get('/open', async request => accountOf(request))
      app.get('/guarded', { onRequest: guard() }, async request => accountOf(request))
      app.get('/late', { preHandler: guard() }, async request => accountOf(request))
      assert.deepEqual((await app.inject('/')).json(), { account: null })
      const forged = user('a', 'alice@acme.com', {}, stranger)
      assert.deepEqual(await ask(app, forged), { account: null })
      assert.equal(await ask(app, user('a', 'alice@acme.com'), '/open'), '403 ACCOUNT_NONE')
      assert.equal(await ask(app, forged, '/guarded'), '401 FST_CF_ACCESS_TOKEN_INVALID')
      assert.equal(await count(), 0)
      const { id } = await ask(app, user('a', 'alice@acme.com'), '/guarded')
      assert.equal((await ask(app, user('a', 'alice@acme.com'))).account.id, id)
      assert.equal(await ask(app, user('a', 'alice@acme.com'), '/late'), '403 ACCOUNT_NONE', 'a guard after all hooks')
      await Promise.all([app.close(), stranger.close()])
    })

    check('scopes have the account, whenever they are created', async ({ store }) => {
      const app = Fastify()
      app.register(async scope => { scope.get('/early', async request => accountOf(request)) })
      app.register(cfAccess, { teamDomain: team.domain, audience: AUDIENCE, prefixes: ['/early', '/deny'] })
      app.register(accounts, { store })
      app.register(async scope => {
        await scope.register(cfAccess, { teamDomain: team.domain, audience: AUDIENCE })
        scope.get('/own', async request => accountOf(request))
      })
      const token = user('a', 'alice@acme.com')
      const early = await ask(app, token, '/early')
      assert.deepEqual(await ask(app, token, '/own'), early)
      assert.match(early.id, /^[\da-f]{8}-/)
      await app.close()
    })

    check('in the wrong order the application does not start', async ({ store }) => {
      const app = Fastify()
      app.register(accounts, { store })
      app.register(cfAccess, { teamDomain: team.domain, audience: AUDIENCE })
      await assert.rejects(async () => app.ready(), /fastify-cf-access/)
      await app.close()
    })

    test('several processes can start at once with no tables yet', async () => {
      const db = await create()
      const stores = await Promise.all(Array.from({ length: 8 }, () => db.open()))
      await Promise.all(stores.map(async store => store.close()))
      await db.drop()
    })

    check('a query that fails is a 503; no log line has a token or an address', async ({ store, serve, db, lines }) => {
      const app = await serve({ ...verified, rolesOf, services: { [DEPLOYER]: { account: 'deployer' } } })
      const waiting = await store.invite('bob@acme.com')
      const tokens = [user('a', 'alice@acme.com'), user('b', 'bob@acme.com'), service(DEPLOYER), service(UNKNOWN)]
      for (const token of tokens) await ask(app, token)
      await db.run(kind === 'SQLite'
        ? 'CREATE TRIGGER fails BEFORE INSERT ON accounts BEGIN SELECT RAISE(ABORT, \'carol@acme.com\'); END'
        : 'ALTER TABLE accounts ADD CONSTRAINT fails CHECK (email IS NULL) NOT VALID')
      const headers = { 'cf-access-jwt-assertion': user('c', 'carol@acme.com') }
      const answer = await app.inject({ url: '/', headers })
      assert.equal(answer.statusCode, 503)
      assert.deepEqual(answer.json(), {
        statusCode: 503, code: 'ACCOUNTS_UNAVAILABLE', error: 'Service Unavailable', message: 'The accounts are unavailable, retry later'
      })
      await assert.rejects(store.invite('carol@acme.com'), error => {
        assert.doesNotMatch(JSON.stringify(Object.getOwnPropertyDescriptors(error)), /carol/)
        return true
      })
      const log = lines.join('')
      assert.ok(log.includes(String(waiting)), 'accounts by their IDs')
      assert.match(log, kind === 'SQLite' ? /"reason":"SQLITE_CONSTRAINT_TRIGGER"/ : /"reason":"23514"/)
      assert.doesNotMatch(log, /@|eyJ|carol/)
    })

    check('while the database fails each request gets 503', async ({ serve, db }) => {
      const app = await serve({ services: { [DEPLOYER]: { account: 'deployer' } } })
      await ask(app, user('a', 'alice@acme.com'))
      await db.run('ALTER TABLE accounts RENAME TO moved')
      for (const token of [user('a', 'alice@acme.com'), user('b', 'bob@acme.com'), service(DEPLOYER)]) {
        assert.equal(await ask(app, token), '503 ACCOUNTS_UNAVAILABLE')
      }
      await db.run('ALTER TABLE moved RENAME TO accounts')
      assert.equal((await ask(app, user('a', 'alice@acme.com'))).email, 'alice@acme.com')
    })
  })
}

test('PostgreSQL: connections that break are replaced', async () => {
  const db = await postgresDatabase()
  const store = await db.open()
  const key = { issuer: 'i', subject: 'a' }
  const { id } = await store.provide(key, 'alice@acme.com', false)
  const others = 'FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()'
  await db.run(`SELECT pg_terminate_backend(pid) ${others}`)
  while ((await db.run(`SELECT pid ${others}`)).length > 0);
  await setImmediate()
  assert.equal((await store.find(key))?.id, id)
  await store.close()
  await db.drop()
})

test('PostgreSQL: a connection that breaks in a transaction rolls it back', async () => {
  const db = await postgresDatabase()
  const store = await db.open()
  const key = { issuer: 'i', subject: 'a' }
  const id = await store.invite('alice@acme.com')
  await db.run('BEGIN; LOCK TABLE users IN EXCLUSIVE MODE')
  const failed = assert.rejects(store.provide(key, 'alice@acme.com', true), { code: 'ACCOUNTS_UNAVAILABLE' })
  while ((await db.run('SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted')).length === 0);
  await failed
  await db.run('ROLLBACK')
  assert.equal(await store.isAwaited('alice@acme.com'), true)
  assert.equal((await store.provide(key, 'alice@acme.com', true)).id, id)
  await store.close()
  await db.drop()
})

test('SQLite: processes that start at once on a new file agree on each user\'s account', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'accounts-'))
  const script = `
    import { openSqlite } from '${new URL('../../example/recipes/accounts/sqlite.js', import.meta.url).href}'
    const store = openSqlite('${join(folder, 'accounts.db')}')
    const ids = []
    for (let i = 0; i < 50; i++) {
      ids.push((await store.provide({ issuer: 'i', subject: String(i) }, 'alice@acme.com', true)).id)
    }
    console.log(ids.join())`
  const run = promisify(execFile)
  const found = await Promise.all(Array.from({ length: 4 }, () =>
    run(process.execPath, ['--input-type=module', '-e', script])))
  assert.equal(new Set(found.map(({ stdout }) => stdout)).size, 1)
  assert.equal(new Set(found[0]?.stdout.trim().split(',')).size, 50)
  await rm(folder, { recursive: true })
})

for (const [kind, env] of /** @type {const} */ ([['memory', 'none'], ['PostgreSQL', 'url']])) {
  test(`the server runs behind the edge emulator, with its accounts in ${kind}`, async () => {
    const [port, edgePort] = [await freePort(), await freePort()]
    const url = `socket:${postgres.config.host}?db=postgres&user=postgres`
    const server = spawn(process.execPath, [SERVER], {
      env: { ...process.env, PORT: String(port), EDGE_PORT: String(edgePort), ...(env === 'url' && { DATABASE_URL: url }) },
      stdio: ['ignore', 'pipe', 'inherit']
    })
    const ended = once(server, 'exit')
    try {
      /** @type {string[]} */
      const commands = []
      for await (const line of createInterface({ input: server.stdout })) {
        if (line.includes('curl ')) commands.push(line)
        if (line.startsWith('Press')) break
      }
      const statuses = await Promise.all(commands.map(async command => {
        const [, url] = /** @type {[string, string]} */ (/** @type {unknown} */ (/curl (\S+)/.exec(command)))
        const headers = [...command.matchAll(/-H '([^:]+): ([^']+)'/g)].map(([, name, value]) => [String(name), String(value)])
        const response = await fetch(url, { headers: /** @type {[string, string][]} */ (headers) })
        return [response.status, /** @type {any} */ (await response.json()).machine]
      }))
      assert.deepEqual(statuses, [[200, 'deployer'], [403, undefined]])
    } finally {
      server.kill()
      await ended
    }
  })
}
