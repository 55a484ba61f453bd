import { once } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { cfAccess, onSessionEnd, type CfAccessOptions, type CfAccessStore } from '../../lib/index.js'
import { createVerifier } from '../../lib/verifier.js'
import type { AccessTeam } from '../../lib/testing/index.js'
import { holdTimers, stopClock, type Clock } from '../fixtures/clock.js'
import { expectAdmitted, expectRejected } from '../fixtures/expect.js'
import { AUD, bearing, createApp, startTeam } from '../fixtures/index.js'
import { until } from '../fixtures/key-endpoint.js'

const KEY = /^fastify-cf-access:v1:[\da-f]{64}(:signed-out)?$/
const DEADLINE = 100

/** A store that processes share, with values that are forgotten in time. */
class Store implements CfAccessStore {
  readonly values = new Map<string, { readonly value: unknown, readonly until: number }>()
  calls = 0

  async get (key: string): Promise<unknown> {
    this.calls++
    const entry = this.values.get(key)
    return entry !== undefined && entry.until > Date.now() ? entry.value : undefined
  }

  async set (key: string, value: string, ttl: number): Promise<void> {
    this.calls++
    this.values.set(key, { value, until: Date.now() + ttl })
  }

  async delete (key: string): Promise<void> {
    this.calls++
    this.values.delete(key)
  }
}

interface Warning { readonly level: number, readonly msg: string, readonly reason?: string }

class Process {
  readonly app: FastifyInstance
  readonly warnings: Warning[]

  constructor (app: FastifyInstance, warnings: Warning[]) {
    this.app = app
    this.warnings = warnings
  }

  static async start (
    t: Test, team: AccessTeam, store: CfAccessStore | null, options: Partial<CfAccessOptions> = {}
  ): Promise<Process> {
    const warnings: Warning[] = []
    const stream = { write: (line: string) => warnings.push(JSON.parse(line)) }
    const app = createApp(t, { logger: { level: 'warn', stream } })
    const shared = store === null ? {} : { store }
    await app.register(cfAccess, { teamDomain: team.domain, audience: AUD, ...shared, ...options })
    app.get('/', async request => request.cfAccess?.email)
    app.get('/groups', async request => {
      const details = await request.cfAccess!.details()
      return 'groups' in details ? details.groups : null
    })
    app.post('/out', async request => {
      await app.cfAccess.signOut(request.cfAccess!)
      return 'out'
    })
    return new Process(app, warnings)
  }
}

interface Fleet {
  readonly clock: Clock
  readonly team: AccessTeam
  readonly store: Store
  readonly a: Process
  readonly b: Process
}

async function startFleet (t: Test, options: Partial<CfAccessOptions> = {}): Promise<Fleet> {
  const clock = stopClock(t)
  const team = await startTeam(t)
  const store = new Store()
  const [a, b] = [await Process.start(t, team, store, options), await Process.start(t, team, store, options)]
  return { clock, team, store, a, b }
}

const tokenOf = (team: AccessTeam, email = 'alice@acme.com', options: object = {}): string =>
  team.userToken({ email, audience: AUD, ...options })

/** Of the only token that was asked about. */
function answerKey (store: Store): string {
  return [...store.values.keys()].find(key => !key.endsWith(':signed-out'))!
}

function questionsTo (team: AccessTeam): number {
  return team.requests.filter(({ path }) => path.endsWith('/get-identity')).length
}

t.test('a sign-out in one process is seen by another within a second', async t => {
  for (const cache of [{ max: 10 }, false] as const) {
    const { clock, team, a, b } = await startFleet(t, { cache })
    const [token, other] = [tokenOf(team), tokenOf(team, 'bob@acme.com')]
    for (const { app } of [a, b]) for (const each of [token, other]) await expectAdmitted(t, app, each)
    await expectAdmitted(t, a.app, { method: 'POST', url: '/out', headers: bearing(token) })
    await expectRejected(t, a.app, token, 401, 'TOKEN_INVALID', 'here at once')
    if (cache !== false) {
      clock.move(999)
      await expectAdmitted(t, b.app, token, 'there for a moment')
      clock.move(1)
    }
    await expectRejected(t, b.app, token, 401, 'TOKEN_INVALID', 'there')
    await expectAdmitted(t, b.app, other, 'another user')
    const late = await Process.start(t, team, new Store(), { cache })
    await expectAdmitted(t, late.app, token, 'a process with another store')
  }
})

t.test('a process that starts later knows of a sign-out, and keeps it when the store forgets', async t => {
  const { team, store, a } = await startFleet(t)
  const token = tokenOf(team)
  await expectAdmitted(t, a.app, { method: 'POST', url: '/out', headers: bearing(token) })
  const late = await Process.start(t, team, store)
  await expectRejected(t, late.app, token, 401, 'TOKEN_INVALID')
  store.values.clear()
  await expectRejected(t, late.app, token, 401, 'TOKEN_INVALID', 'by its own memory')
})

t.test('a sign-out is kept as long as its token is accepted', async t => {
  const { clock, team, store, a } = await startFleet(t, { clockTolerance: '5m' })
  const token = tokenOf(team, 'alice@acme.com', { expiresIn: '1h' })
  await expectAdmitted(t, a.app, { method: 'POST', url: '/out', headers: bearing(token) })
  clock.move(3_600_000 + 299_000)
  const late = await Process.start(t, team, store, { clockTolerance: '5m' })
  await expectRejected(t, late.app, token, 401, 'TOKEN_INVALID')
})

t.test('a sign-out that a strict registration learned holds for a lenient one, also when the store fails', async t => {
  const { clock, team, store, a } = await startFleet(t)
  const token = tokenOf(team, 'alice@acme.com', { expiresIn: '24h' })
  await expectAdmitted(t, a.app, { method: 'POST', url: '/out', headers: bearing(token) })
  const options = { teamDomain: team.domain, audience: AUD, store }
  const app = createApp(t)
  await app.register(cfAccess, { ...options, prefix: '/strict', maxTokenAge: '1h' })
  await app.register(cfAccess, { ...options, prefix: '/lenient' })
  for (const path of ['/strict', '/lenient']) app.get(path, async () => 'in')
  await expectRejected(t, app, { url: '/strict', headers: bearing(token) }, 401, 'TOKEN_INVALID')
  clock.move(2 * 3_600_000)
  store.get = async () => { throw new Error('down') }
  await expectRejected(t, app, { url: '/lenient', headers: bearing(token) }, 401, 'TOKEN_INVALID')
})

t.test('a verifier without Fastify learns of a sign-out too, and warns of a store that fails', async t => {
  const { team, store, a } = await startFleet(t)
  const token = tokenOf(team)
  await expectAdmitted(t, a.app, { method: 'POST', url: '/out', headers: bearing(token) })
  const verifier = createVerifier({ teamDomain: team.domain, audience: AUD, store })
  t.teardown(() => verifier.close())
  await t.rejects(verifier.verify(token), { code: 'FST_CF_ACCESS_TOKEN_INVALID', reason: 'signed-out' })
  const warned = once(process, 'warning')
  store.get = async () => { throw new Error('down') }
  t.match(await verifier.verify(tokenOf(team, 'bob@acme.com')), { email: 'bob@acme.com' })
  t.match((await warned)[0], { name: 'CfAccessWarning', message: /The store does not answer.*down/ })
})

const SECOND = 1000

t.test('a socket is told of a sign-out elsewhere within a second, without any request', async t => {
  const { clock, team, a, b } = await startFleet(t)
  const fire = holdTimers(t)
  const token = tokenOf(team)
  const ended: string[] = []
  for (const name of ['first', 'second']) {
    t.teardown(onSessionEnd(await b.app.cfAccess.verify(token), reason => ended.push(`${name}: ${reason}`)))
  }
  t.teardown(onSessionEnd(await b.app.cfAccess.verify(tokenOf(team, 'bob@acme.com')), reason => t.fail(reason)))
  await expectAdmitted(t, a.app, { method: 'POST', url: '/out', headers: bearing(token) })
  t.strictSame(ended, [])
  clock.move(SECOND)
  fire(SECOND)
  await until(() => ended.length === 2)
  t.strictSame(ended, ['first: signed-out', 'second: signed-out'])
  await expectRejected(t, b.app, token, 401, 'TOKEN_INVALID', 'no request is admitted either')
})

t.test('with recheck a socket is told of a revocation elsewhere, without a question of its own', async t => {
  const { clock, team, a, b } = await startFleet(t, { recheck: '1m' })
  const fire = holdTimers(t)
  const token = tokenOf(team)
  await expectAdmitted(t, a.app, token)
  clock.move(30_000)
  const ended: string[] = []
  t.teardown(onSessionEnd(await b.app.cfAccess.verify(token), reason => ended.push(reason)))
  team.revoke(token)
  clock.move(30_000)
  await expectRejected(t, a.app, token, 401, 'TOKEN_INVALID')
  const questions = questionsTo(team)
  clock.move(SECOND)
  fire(SECOND)
  await until(() => ended.length > 0)
  t.strictSame(ended, ['revoked'])
  await expectRejected(t, b.app, token, 401, 'TOKEN_INVALID')
  t.equal(questionsTo(team), questions)
})

t.test('a revocation elsewhere ends a socket with recheck only, as one that its own process would notice', async t => {
  const { clock, team, store, a, b } = await startFleet(t)
  const fire = holdTimers(t)
  const token = tokenOf(team)
  t.teardown(onSessionEnd(await b.app.cfAccess.verify(token), reason => t.fail(reason)))
  team.revoke(token)
  await expectRejected(t, a.app, { url: '/groups', headers: bearing(token) }, 401, 'TOKEN_INVALID')
  const { calls } = store
  clock.move(SECOND)
  fire(SECOND)
  await nextTurn()
  t.equal(store.calls, calls + 1, 'only whether it is signed out')
})

/** The timers of the next look into the store that were started so far. */
function looks (t: Test): () => ReadonlyArray<() => void> {
  const { calls } = t.capture(globalThis, 'setTimeout', globalThis.setTimeout)
  return () => calls.filter(({ args }) => args[1] === SECOND).map(({ args: [callback] }) => callback)
}

t.test('all sockets of a process share one timer, and one look for each token', async t => {
  const { team, store, a } = await startFleet(t)
  const [token, other] = [tokenOf(team), tokenOf(team, 'bob@acme.com')]
  const identities = await Promise.all([token, other, token].map(async each => await a.app.cfAccess.verify(each)))
  const timers = looks(t)
  const { calls } = store
  const cancels = identities.map(identity => onSessionEnd(identity, reason => t.fail(reason)))
  t.equal(timers().length, 1)
  timers()[0]!()
  await until(() => timers().length === 2)
  t.equal(store.calls, calls + 2, 'each token once')
  cancels[0]!()
  timers()[1]!()
  await until(() => timers().length === 3)
  t.equal(store.calls, calls + 4, 'the other socket of this token goes on')
  for (const cancel of cancels.slice(1)) cancel()
  timers()[2]!()
  await nextTurn()
  t.equal(store.calls, calls + 4, 'nothing is left to look for')
  t.equal(timers().length, 3)
  t.teardown(onSessionEnd(identities[0]!, reason => t.fail(reason)))
  t.equal(timers().length, 4, 'and it begins again')
})

t.test('the next look waits for a slow store', async t => {
  const { team, store, a } = await startFleet(t)
  const identity = await a.app.cfAccess.verify(tokenOf(team))
  const other = await a.app.cfAccess.verify(tokenOf(team, 'bob@acme.com'))
  const answers: Array<(value?: string) => void> = []
  store.get = async () => await new Promise(resolve => answers.push(resolve))
  const timers = looks(t)
  const ended: string[] = []
  onSessionEnd(identity, reason => ended.push(reason))()
  t.teardown(onSessionEnd(identity, reason => ended.push(reason)))
  timers()[0]!()
  onSessionEnd(other, reason => t.fail(reason))()
  await nextTurn()
  t.equal(answers.length, 1)
  t.equal(timers().length, 1)
  answers[0]!()
  await until(() => timers().length === 2)
  timers()[1]!()
  await until(() => answers.length === 2)
  answers[1]!('true')
  await until(() => ended.length > 0)
  t.strictSame(ended, ['signed-out'])
})

t.test('many sockets are looked for a few at a time', async t => {
  const { team, store, a } = await startFleet(t)
  const identities = []
  for (let i = 0; i < 100; i++) identities.push(await a.app.cfAccess.verify(tokenOf(team, `user-${i}@acme.com`)))
  const timers = looks(t)
  for (const identity of identities) t.teardown(onSessionEnd(identity, reason => t.fail(reason)))
  let [running, most, calls] = [0, 0, 0]
  store.get = async () => {
    calls++
    most = Math.max(most, ++running)
    await nextTurn()
    running--
  }
  timers()[0]!()
  await until(() => timers().length === 2)
  t.equal(calls, 100)
  t.equal(most, 32)
})

t.test('a store that fails ends no socket, is warned of once and is left alone for a while', async t => {
  const { clock, team, store, a, b } = await startFleet(t)
  const token = tokenOf(team)
  const identity = await b.app.cfAccess.verify(token)
  const { get } = store
  let calls = 0
  store.get = async () => { calls++; throw new Error('down') }
  const timers = looks(t)
  const ended: string[] = []
  t.teardown(onSessionEnd(identity, reason => ended.push(reason)))
  for (let i = 0; i < 3; i++) {
    timers().at(-1)!()
    await until(() => timers().length === i + 2)
  }
  t.equal(calls, 1, 'within the backoff')
  t.strictSame(ended, [])
  t.equal(b.warnings.length, 1)
  store.get = get
  await expectAdmitted(t, a.app, { method: 'POST', url: '/out', headers: bearing(token) })
  clock.move(SECOND)
  timers().at(-1)!()
  await until(() => ended.length > 0)
  t.strictSame(ended, ['signed-out'], 'once it answers')
  t.equal(b.warnings.length, 1)
})

t.test('a callback that throws keeps no other one waiting', async t => {
  const { clock, team, a, b } = await startFleet(t)
  const [first, second] = [tokenOf(team), tokenOf(team, 'bob@acme.com')]
  const timers = looks(t)
  const ended: string[] = []
  t.teardown(onSessionEnd(await b.app.cfAccess.verify(first), () => { throw new Error('mistake') }))
  t.teardown(onSessionEnd(await b.app.cfAccess.verify(second), reason => ended.push(reason)))
  const thrown = once(process, 'unhandledRejection')
  await expectAdmitted(t, a.app, { method: 'POST', url: '/out', headers: bearing(first) })
  clock.move(SECOND)
  timers()[0]!()
  t.match(await thrown, [{ message: 'mistake' }])
  await until(() => timers().length === 2)
  await expectAdmitted(t, a.app, { method: 'POST', url: '/out', headers: bearing(second) })
  clock.move(SECOND)
  timers()[1]!()
  await until(() => ended.length > 0)
  t.strictSame(ended, ['signed-out'])
})

t.test('without a store, and without a callback, no timer is started', async t => {
  const timers = looks(t)
  const { team, a } = await startFleet(t)
  const alone = await Process.start(t, team, null)
  const token = tokenOf(team)
  await expectAdmitted(t, a.app, token)
  t.teardown(onSessionEnd(await alone.app.cfAccess.verify(token), reason => t.fail(reason)))
  t.equal(timers().length, 0)
})

t.test('the timer keeps no process alive', async t => {
  const { team, a } = await startFleet(t)
  const identity = await a.app.cfAccess.verify(tokenOf(team))
  const timers = (): number => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const before = timers()
  t.teardown(onSessionEnd(identity, reason => t.fail(reason)))
  t.equal(timers(), before)
})

t.test('with recheck one process asks Access, and the others learn from it', async t => {
  const { clock, team, a, b } = await startFleet(t, { recheck: '1m' })
  const token = tokenOf(team)
  for (let minute = 0; minute < 3; minute++) {
    for (const { app } of [a, b, a, b]) await expectAdmitted(t, app, token)
    t.equal(questionsTo(team), minute + 1, `minute ${minute}`)
    clock.move(60_000)
  }
  t.equal(questionsTo(await startTeam(t)), 0)
})

t.test('a revocation that one process notices is seen by another within a second', async t => {
  const { clock, team, a, b } = await startFleet(t, { recheck: '1m' })
  const token = tokenOf(team)
  await expectAdmitted(t, a.app, token)
  clock.move(59_000)
  await expectAdmitted(t, b.app, token, 'by what a was told')
  team.revoke(token)
  clock.move(1000)
  await expectRejected(t, a.app, token, 401, 'TOKEN_INVALID')
  const questions = questionsTo(team)
  clock.move(1000)
  await expectRejected(t, b.app, token, 401, 'TOKEN_INVALID')
  t.equal(questionsTo(team), questions, 'without a question of its own')
})

t.test('details are shared, for as long as they are cached', async t => {
  const { clock, team, store, a, b } = await startFleet(t, { details: { maxAge: '10s' } })
  const token = tokenOf(team, 'alice@acme.com', { identity: { groups: [{ name: 'admins' }] } })
  const request = { url: '/groups', headers: bearing(token) }
  for (const { app } of [a, b]) t.match((await expectAdmitted(t, app, request)).json(), [{ name: 'admins' }])
  t.equal(questionsTo(team), 1)
  const { calls } = store
  await expectAdmitted(t, b.app, request)
  t.equal(store.calls, calls, 'within a second the store is not asked again')
  clock.move(10_000)
  await expectAdmitted(t, b.app, request)
  t.equal(questionsTo(team), 2)
})

t.test('the store never sees a token, and nothing but what it needs', async t => {
  const { team, store, a } = await startFleet(t, { recheck: '1m' })
  const token = tokenOf(team)
  await expectAdmitted(t, a.app, { method: 'POST', url: '/out', headers: bearing(token) })
  const keys = [...store.values.keys()]
  t.equal(keys.length, 2)
  for (const key of keys) t.match(key, KEY)
  const text = JSON.stringify([...store.values])
  for (const part of token.split('.')) t.notMatch(text, part)
})

type Value = unknown | ((at: number) => unknown)

/** What a store can say of a token that Access has revoked: none of it admits. */
const LIES: Readonly<Record<string, Value>> = {
  'no text': 7,
  'an object': { at: 1, answer: {} },
  'not JSON': '{',
  'a list': '[]',
  null: 'null',
  'no time': '{"answer":{"email":"alice@acme.com"}}',
  'a time that is none': '{"at":"1","answer":{"email":"alice@acme.com"}}',
  'no answer': (at: number) => JSON.stringify({ at }),
  'an answer that is none': (at: number) => JSON.stringify({ at, answer: 'yes' }),
  'an answer about another user': (at: number) => JSON.stringify({ at, answer: { email: 'bob@acme.com' } }),
  'an answer that is an error': (at: number) => JSON.stringify({ at, answer: { email: 'alice@acme.com', err: 'no' } }),
  'an answer from the future': (at: number) => JSON.stringify({ at: at + 1, answer: { email: 'alice@acme.com' } }),
  'an old answer': (at: number) => JSON.stringify({ at: at - 60_000, answer: { email: 'alice@acme.com' } }),
  'a long text': (at: number) => JSON.stringify({ at, answer: { email: 'alice@acme.com', x: 'x'.repeat(300_000) } })
}

t.test('what a store says is validated: nothing of another form admits', async t => {
  const { clock, team, store, a } = await startFleet(t, { recheck: '1m' })
  for (const [name, lie] of Object.entries(LIES)) {
    store.values.clear()
    const token = tokenOf(team)
    team.revoke(token)
    await expectRejected(t, a.app, token, 401, 'TOKEN_INVALID', name)
    const key = [...store.values.keys()].find(key => !key.endsWith(':signed-out'))!
    clock.move(60_000)
    const value = typeof lie === 'function' ? lie(clock.now) : lie
    store.values.set(key, { value, until: Infinity })
    await expectRejected(t, a.app, token, 401, 'TOKEN_INVALID', `${name}, here`)
    store.values.set(key, { value, until: Infinity })
    await expectRejected(t, (await Process.start(t, team, store, { recheck: '1m' })).app, token, 401, 'TOKEN_INVALID',
      `${name}, in another process`)
    t.notOk(a.warnings.some(({ msg }) => msg.startsWith('The store')), name)
  }
})

t.test('a confirmation of the store that is no newer does not undo a revocation that this process knows', async t => {
  const { clock, team, store, a } = await startFleet(t, { recheck: '1m' })
  for (const age of [0, 1, 30_000]) {
    store.values.clear()
    const token = tokenOf(team)
    team.revoke(token)
    await expectRejected(t, a.app, token, 401, 'TOKEN_INVALID')
    const questions = questionsTo(team)
    const confirmation = JSON.stringify({ at: clock.now - age, answer: { email: 'alice@acme.com' } })
    store.values.set(answerKey(store), { value: confirmation, until: Infinity })
    clock.move(1000)
    await expectRejected(t, a.app, token, 401, 'TOKEN_INVALID', `${age} ms older`)
    t.equal(questionsTo(team), questions, 'decided by its own knowledge')
  }
})

t.test('while Access fails, a process admits a user that Access has confirmed to another one', async t => {
  const { clock, team, store, a } = await startFleet(t, { recheck: '1m' })
  const token = tokenOf(team)
  await expectAdmitted(t, a.app, token)
  const key = answerKey(store)
  clock.move(60_000)
  team.outage('error', 'get-identity')
  await expectRejected(t, a.app, token, 503, 'IDENTITY_UNAVAILABLE')
  const confirmation = JSON.stringify({ at: clock.now, answer: { email: 'alice@acme.com' } })
  store.values.set(key, { value: confirmation, until: Infinity })
  clock.move(1000)
  await expectAdmitted(t, a.app, token)
})

t.test('an answer is shared for as long as any option lets it be used', async t => {
  const LENGTHS = [['1m', '10m', 600_000], ['10m', '1m', 600_000]] as const
  for (const [recheck, maxAge, milliseconds] of LENGTHS) {
    const { clock, team, store, a } = await startFleet(t, { recheck, details: { maxAge } })
    await expectAdmitted(t, a.app, tokenOf(team))
    t.equal(store.values.get(answerKey(store))!.until - clock.now, milliseconds, `${recheck}, ${maxAge}`)
  }
})

t.test('what a store cannot mean is deleted there, and nothing else is', async t => {
  const { clock, team, store, a } = await startFleet(t, { recheck: '1m' })
  const deleted: string[] = []
  store.delete = async key => { deleted.push(key) }
  const nothing = store.get
  store.get = async () => null
  await expectAdmitted(t, a.app, tokenOf(team, 'bob@acme.com'), 'null')
  store.get = nothing
  const token = tokenOf(team)
  await expectAdmitted(t, a.app, token, 'undefined')
  clock.move(1000)
  await expectAdmitted(t, a.app, token, 'an answer')
  t.strictSame(deleted, [])
  store.get = async key => key.endsWith(':signed-out') ? undefined : '{'
  clock.move(1000)
  await expectAdmitted(t, a.app, token, 'no answer')
  t.match(deleted, [KEY])
})

const BROKEN: Readonly<Record<string, CfAccessStore>> = {
  'that fails': {
    get: async () => { throw new Error('down') },
    set: async () => { throw new Error('down') },
    delete: async () => { throw new Error('down') }
  },
  'that throws': {
    get: () => { throw new Error('down') },
    set: () => { throw new Error('down') },
    delete: () => { throw new Error('down') }
  },
  'that never answers': {
    get: () => new Promise(() => {}),
    set: () => new Promise(() => {}),
    delete: () => new Promise(() => {})
  }
}

t.test('without a store that answers, requests are decided as without a store, with one warning', async t => {
  for (const [name, store] of Object.entries(BROKEN)) {
    const clock = stopClock(t)
    const fire = holdTimers(t)
    const team = await startTeam(t)
    const { app, warnings } = await Process.start(t, team, store, { recheck: '1m' })
    const [token, revoked] = [tokenOf(team), tokenOf(team, 'bob@acme.com')]
    team.revoke(revoked)
    const hurried = async (step: Promise<unknown>): Promise<void> => {
      const over = step.then(() => true)
      while (!await Promise.race([over, nextTurn(false)])) fire(DEADLINE)
    }
    for (let i = 0; i < 4; i++) {
      await hurried(expectAdmitted(t, app, token, name))
      await hurried(expectRejected(t, app, revoked, 401, 'TOKEN_INVALID', name))
      clock.move(20_000)
    }
    t.match(warnings, [{ reason: /down|no answer within 100 ms/, msg: /^The store does not answer/ }], name)
    t.equal(warnings.length, 1)
    await hurried(expectAdmitted(t, app, { method: 'POST', url: '/out', headers: bearing(token) }, `${name}: signs out`))
    await hurried(expectRejected(t, app, token, 401, 'TOKEN_INVALID', `${name}: here`))
  }
})

t.test('a store that fails is left alone for a while, and used again once it answers', async t => {
  const { clock, team, store, a, b } = await startFleet(t)
  const token = tokenOf(team)
  await expectAdmitted(t, a.app, token)
  const { get } = store
  let calls = 0
  store.get = async () => { calls++; throw new Error('down') }
  clock.move(1000)
  await expectAdmitted(t, a.app, token)
  for (let i = 0; i < 10; i++) await expectAdmitted(t, a.app, tokenOf(team, `user-${i}@acme.com`))
  t.equal(calls, 1, 'not asked again within the backoff, for no other token either')
  t.equal(a.warnings.length, 1)
  store.get = get
  await expectAdmitted(t, b.app, { method: 'POST', url: '/out', headers: bearing(token) })
  clock.move(1000)
  await expectRejected(t, a.app, token, 401, 'TOKEN_INVALID', 'used again')
  store.get = async () => { throw new Error('down') }
  clock.move(1000)
  await expectAdmitted(t, a.app, tokenOf(team, 'carol@acme.com'))
  t.equal(a.warnings.length, 2, 'a new failure is warned of')
})

t.test('calls to the store that fail together count as one failure', async t => {
  const { clock, team, store, a, b } = await startFleet(t)
  const tokens = Array.from({ length: 10 }, (_, i) => tokenOf(team, `user-${i}@acme.com`))
  const { get } = store
  store.get = async () => { await nextTurn(); throw new Error('down') }
  await Promise.all(tokens.map(async token => await expectAdmitted(t, a.app, token)))
  store.get = get
  await expectAdmitted(t, b.app, { method: 'POST', url: '/out', headers: bearing(tokens[0]!) })
  clock.move(SECOND)
  await expectRejected(t, a.app, tokens[0]!, 401, 'TOKEN_INVALID', 'after half a second at most')
  t.equal(a.warnings.length, 1)
})

t.test('while the store fails, Access is asked once for each recheck, also beyond details.max', async t => {
  const { clock, team, store, a } = await startFleet(t, { recheck: '1m', details: { max: 1 } })
  store.get = async () => { throw new Error('down') }
  const tokens = [tokenOf(team), tokenOf(team, 'bob@acme.com')]
  for (let second = 0; second < 60; second += 10) {
    for (const token of tokens) await expectAdmitted(t, a.app, token)
    clock.move(10_000)
  }
  t.equal(questionsTo(team), 2)
  for (const token of tokens) await expectAdmitted(t, a.app, token)
  t.equal(questionsTo(team), 4)
})

t.test('a cached token costs no call to the store within a second', async t => {
  const { clock, team, store, a } = await startFleet(t, { recheck: '1m' })
  const token = tokenOf(team)
  await expectAdmitted(t, a.app, token)
  const { calls } = store
  clock.move(999)
  for (let i = 0; i < 10; i++) await expectAdmitted(t, a.app, token)
  t.equal(store.calls, calls)
})
