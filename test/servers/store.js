// Four processes behind one port that share a store, a real Redis or Valkey: one question to Access, one sign-out for
// all, event streams too, and right answers while the store is down.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import KeyvValkey from '@keyv/valkey'
import { createAccessTeam } from 'fastify-cf-access/testing'
import Keyv from 'keyv'
import { freePort } from '../fixtures/free-port.js'
import { PROCESSES, startFleet, startStore } from '../fixtures/fleet.js'

const AUDIENCE = 'f8612530c08484786e83e00ff7b549bc3763747beae55ec909cc28a6a56b81d1'
const USERS = 1000

/** @type {Awaited<ReturnType<typeof createAccessTeam>>} */
let team
/** @type {Awaited<ReturnType<typeof startFleet>>} */
let fleet
/** @type {Awaited<ReturnType<typeof startStore>>} */
let store
/** @type {number} */
let port

before(async () => {
  port = await freePort()
  store = await startStore(port)
  team = await createAccessTeam()
  fleet = await startFleet({
    teamDomain: team.domain,
    audience: AUDIENCE,
    store: store.url,
    recheck: '24h'
  })
})

after(async () => {
  await fleet.close()
  await store.kill()
  await team.close()
})

/** @param {string} email */
const tokenOf = email => team.userToken({ email, audience: AUDIENCE })

/** Asks until every process has answered with this status. @param {string} token @param {number} status */
async function untilAll (token, status) {
  const pids = new Set()
  while (pids.size < PROCESSES) {
    const answer = await fleet.ask(token)
    if (answer.status === status) pids.add(answer.pid)
    else pids.clear()
  }
}

const questions = () => team.requests.filter(({ path }) => path.endsWith('/get-identity')).length

test('each user is one question to Access, whichever process is asked', async () => {
  const tokens = Array.from({ length: USERS }, (_, i) => ({ email: `user-${i}@acme.com`, token: tokenOf(`user-${i}@acme.com`) }))
  const pids = new Set()
  const before = questions()
  // Some users at once, each of them one request after the other.
  const queue = tokens.values()
  await Promise.all(Array.from({ length: 16 }, async () => {
    for (const { email, token } of queue) {
      for (let i = 0; i < PROCESSES; i++) {
        const answer = await fleet.ask(token)
        assert.equal(answer.status, 200)
        assert.equal(answer.email, email)
        pids.add(answer.pid)
      }
    }
  }))
  assert.equal(pids.size, PROCESSES)
  // A busy machine lets some answers of the store miss their deadline; without a store it would be four for each.
  const asked = questions() - before
  assert.ok(asked >= USERS && asked < 2 * USERS, `${asked} questions`)
})

test('a sign-out in one process ends the session in all', async () => {
  const [token, other] = [tokenOf('alice@acme.com'), tokenOf('bob@acme.com')]
  await untilAll(token, 200)
  await untilAll(other, 200)
  assert.equal((await fleet.ask(token, { method: 'POST', path: '/out' })).status, 200)
  await untilAll(token, 401)
  await untilAll(other, 200)
})

test('a sign-out in one process ends the event streams in all', async () => {
  const [token, other] = [tokenOf('frank@acme.com'), tokenOf('grace@acme.com')]
  const stays = (await fleet.open(other, { path: '/events' })).response
  /** @type {Map<number, Promise<string>>} */
  const streams = new Map()
  while (streams.size < PROCESSES) {
    const { response, pid } = await fleet.open(token, { path: '/events' })
    streams.set(pid, text(response))
  }
  await fleet.ask(token, { method: 'POST', path: '/out' })
  for (const stream of await Promise.all(streams.values())) assert.match(stream, /^event: signed-out$/m)
  assert.equal(stays.readableEnded, false)
  stays.destroy()
})

test('while the store is down each process decides by itself, and afterwards they share again', async () => {
  const [out, user, revoked] = [tokenOf('carol@acme.com'), tokenOf('dave@acme.com'), tokenOf('eve@acme.com')]
  await untilAll(out, 200)
  await untilAll(user, 200)
  await fleet.ask(out, { method: 'POST', path: '/out' })
  await untilAll(out, 401)
  team.revoke(revoked)
  await untilAll(revoked, 401)
  await store.kill()
  const wrong = []
  for (let i = 0; i < 50; i++) {
    /** @type {ReadonlyArray<readonly [token: string, status: number]>} */
    const cases =
      [[user, 200], [tokenOf(`late-${i}@acme.com`), 200], [out, 401], [revoked, 401], ['x.y.z', 401]]
    for (const [token, status] of cases) {
      const answer = await fleet.ask(token)
      if (answer.status !== status) wrong.push([token.slice(-8), answer.status, status])
    }
  }
  assert.deepEqual(wrong, [])
  store = await startStore(port)
  await untilAll(await signOutShared(), 401)
  await untilAll(user, 200)
})

/** Signs out one user after the other, until a process uses the store again. */
async function signOutShared () {
  const values = new Keyv(new KeyvValkey(store.url))
  try {
    for (let i = 0; ; i++) {
      const token = tokenOf(`again-${i}@acme.com`)
      assert.equal((await fleet.ask(token, { method: 'POST', path: '/out' })).status, 200)
      const hash = createHash('sha256').update(token).digest('hex')
      if (await values.get(`fastify-cf-access:v1:${hash}:signed-out`) === 'true') return token
    }
  } finally {
    await values.disconnect()
  }
}
