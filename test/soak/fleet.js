// Drives four processes behind one port, which share a real Redis or Valkey, against a model that knows the truth of
// each session: first in peace, then while the store is killed and started again, get-identity fails and the keys are
// rotated. SOAK_SECONDS (240) and SOAK_SEED can be set. Ends with 1 when any answer was wrong.
import { once } from 'node:events'
import { Agent } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { createAccessTeam } from '../../lib/testing/index.js'
import { freePort } from '../fixtures/free-port.js'
import { PROCESSES, startFleet, startStore } from '../fixtures/fleet.js'
import { FleetTruth, RECHECK, Session } from './fleet-truth.js'
import { randomFrom } from './traffic.js'

const SECONDS = Number(process.env['SOAK_SECONDS'] ?? 240)
const SEED = Number(process.env['SOAK_SEED'] ?? Date.now() % 1e6)
const USERS = 1000
const CONNECTIONS = 32
const AUDIENCE = 'a'.repeat(64)
// Milliseconds. A user waits this long for a sign-out to be seen by all.
const PATIENCE = 5000

const random = randomFrom(SEED)
const port = await freePort()
let store = await startStore(port)
const team = await createAccessTeam()
const fleet = await startFleet({ teamDomain: team.domain, audience: AUDIENCE, store: store.url, recheck: '1m' })
const truth = new FleetTruth()

/** @type {Map<string, Session>} */
const sessions = new Map()
const users = Array.from({ length: USERS }, (_, i) => login('user', `user-${i}@acme.com`))
/** The last ones that came later, and those whose session Access has ended. @type {Session[]} */
const others = []

/** @type {Map<string, number>} */
const outcomes = new Map()
/** @type {Record<'wrong admissions' | 'wrong rejections', string[]>} */
const wrong = { 'wrong admissions': [], 'wrong rejections': [] }
/** How often each process has found the store failing. @type {Map<number, number>} */
const storeFailures = new Map()
/** Milliseconds from a sign-out until all processes reject it, and until a stream in one of them ends. */
const delays = { processes: /** @type {number[]} */ ([]), streams: /** @type {number[]} */ ([]) }
const counts = { kills: 0, outages: 0, rotations: 0, 'sign-outs': 0, revocations: 0, questions: 0 }
let read = 0

let questionsInPeace = 0
const start = performance.now()
/** When the first failure comes, and when all ends. */
let [storms, end] = [Infinity, Infinity]
const connections = Array.from({ length: CONNECTIONS }, connection)
const probes = await connectToEach()
const peace = performance.now()
await logInAll()
storms = peace + SECONDS * 500
end = peace + SECONDS * 1000
await Promise.all([disturb(), signOutUsers(), revokeSessions(), ...connections.map(drive)])

for (const agent of [...connections, ...probes]) agent.destroy()
await fleet.close()
await Promise.all([store.kill(), team.close()])
report()

/** @param {string} kind @param {string} email */
function login (kind, email) {
  const session = new Session(team.userToken({ email, audience: AUDIENCE }), kind)
  sessions.set(session.token, session)
  return session
}

/** A connection that stays with the process that it came to. */
function connection () {
  return new Agent({ keepAlive: true, maxSockets: 1 })
}

/** One connection to each process. */
async function connectToEach () {
  /** @type {Map<number, Agent>} */
  const found = new Map()
  while (found.size < PROCESSES) {
    const agent = connection()
    const { pid } = await fleet.ask('none', { agent })
    if (found.has(pid)) agent.destroy()
    else found.set(pid, agent)
  }
  return [...found.values()]
}

async function logInAll () {
  const queue = users.values()
  await Promise.all(connections.map(async agent => { for (const user of queue) await visit(agent, user) }))
}

/** One client on one connection, one request after the other. @param {Agent} agent */
async function drive (agent) {
  while (performance.now() < end) {
    const dice = random()
    if (dice < 0.05) await visit(agent, null)
    else await visit(agent, dice < 0.15 && others.length > 0 ? pick(others) : pick(users))
    await pause(30 + random() * 60)
  }
}

/** @template Item @param {readonly Item[]} items @returns {Item} */
function pick (items) {
  return /** @type {Item} */ (items[Math.floor(random() * items.length)])
}

/** A token that was never valid. */
function spoilt () {
  const { token } = pick(users)
  return pick([`${token.slice(0, -12)}AAAAAAAAAAAA`, team.userToken({ email: 'a@acme.com', audience: 'another' }), 'x.y.z'])
}

/** @param {Agent} agent @param {Session | null} session `null` for a token that is never valid */
async function visit (agent, session) {
  const token = session?.token ?? spoilt()
  const from = performance.now()
  const answer = { from, ...await fleet.ask(token, { agent }), to: performance.now() }
  noteQuestions()
  noteStore(answer)
  note(`${session?.end ?? session?.kind ?? 'garbage'}: ${answer.status} ${answer.code ?? 'in'}`, from,
    truth.judge(session, answer))
  return answer
}

/** @param {string} outcome @param {number} from @param {ReturnType<FleetTruth['judge']>} fault */
function note (outcome, from, fault) {
  outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
  if (fault !== null) wrong[fault].push(`${outcome} after ${((from - start) / 1000).toFixed(1)} s`)
}

/**
 * On a busy machine an answer of the store can miss its deadline.
 *
 * @param {{ pid: number, storeFailures: number }} answer
 */
function noteStore ({ pid, storeFailures: count }) {
  if (count > (storeFailures.get(pid) ?? 0)) truth.store.failed(performance.now())
  storeFailures.set(pid, count)
}

/** What the processes have asked Access since the last call. */
function noteQuestions () {
  const now = performance.now()
  for (; read < team.requests.length; read++) {
    const { path = '', headers = {} } = team.requests[read] ?? {}
    if (!path.endsWith('/get-identity')) continue
    counts.questions++
    const session = sessions.get(String(headers.cookie).replace('CF_Authorization=', ''))
    if (session === undefined) continue
    if (truth.getIdentity.isUsableSince(now)) session.confirmedAt = now
    if (session.kind === 'user' && now < storms) questionsInPeace++
  }
}

/** New users, one after the other, log in at every process, open an event stream, and sign out in one process. */
async function signOutUsers () {
  for (let i = 0; performance.now() < end - PATIENCE; i++) {
    const session = login('new', `new-${i}@acme.com`)
    for (const agent of probes) await visit(agent, session)
    const stream = await fleet.open(session.token, { path: '/events' })
    const closed = once(stream.response.resume(), 'close').then(() => performance.now())
    const endingAt = performance.now()
    const { status, pid, ...answer } = await fleet.ask(session.token, { method: 'POST', path: '/out' })
    noteStore({ pid, ...answer })
    if (stream.status === 200 && status === 200) {
      Object.assign(session, { end: 'signed-out', endingAt, endedAt: performance.now(), endedBy: pid })
      others.push(session)
      others.splice(0, others.length - 50)
      counts['sign-outs']++
      await noteDelays(session, stream, closed)
    }
    stream.response.destroy()
    await pause(500)
  }
}

/**
 * @param {Session} session
 * @param {{ pid: number, response: import('node:http').IncomingMessage }} stream
 * @param {Promise<number>} closed
 */
async function noteDelays (session, { pid, response }, closed) {
  const until = session.endedAt + PATIENCE
  const rejected = probes.map(async agent => {
    while (performance.now() < until) {
      const { status, to } = await visit(agent, session)
      if (status === 401) return to
      await pause(20)
    }
    return Infinity
  })
  const times = await Promise.all(rejected)
  const closedAt = await Promise.race([closed, pause(Math.max(0, until - performance.now()), Infinity)])
  if (closedAt === Infinity && !response.closed) {
    note('an event stream stays open', session.endedAt, truth.mustKnow(session, pid, until) ? 'wrong admissions' : null)
  }
  if (!truth.store.isUsableSince(session.endingAt)) return
  delays.processes.push(Math.max(...times) - session.endedAt)
  if (pid !== session.endedBy) delays.streams.push(closedAt - session.endedAt)
}

/** Access ends sessions, and the processes have to find out. */
async function revokeSessions () {
  for (let i = 0; performance.now() < end - PATIENCE; i++) {
    const session = login('new', `revoked-${i}@acme.com`)
    for (const agent of probes) await visit(agent, session)
    others.push(session)
    await pause(4000)
    const now = performance.now()
    Object.assign(session, { end: 'revoked', endingAt: now, endedAt: now })
    team.revoke(session.token)
    counts.revocations++
  }
}

async function disturb () {
  await pause(storms - performance.now())
  for (let i = 0; performance.now() < end - 3 * PATIENCE; i++) {
    if (i % 2 === 0) await killStore()
    else if (i === 1) await rotate()
    else await failGetIdentity()
    await pause(4000 + random() * 6000)
  }
}

async function killStore () {
  counts.kills++
  truth.store.down(performance.now())
  await store.kill()
  await pause(random() * 3000)
  store = await startStore(port)
  truth.store.up(performance.now())
}

/** Once: the tokens of the users are of the previous key from then on. */
async function rotate () {
  counts.rotations++
  truth.rotate(performance.now())
  await team.rotateKeys()
  truth.rotate(performance.now())
}

async function failGetIdentity () {
  counts.outages++
  truth.getIdentity.down(performance.now())
  team.outage('error', 'get-identity')
  await pause(1000 + random() * 3000)
  team.outage(null)
  truth.getIdentity.up(performance.now())
}

function report () {
  const rows = [...outcomes].sort(([a], [b]) => a < b ? -1 : 1)
  for (const [outcome, count] of rows) print(count, outcome)
  const total = rows.reduce((sum, [, count]) => sum + count, 0)
  print(total, `requests in ${SECONDS} s, ${PROCESSES} processes, ${USERS} users, SOAK_SEED=${SEED}`)
  for (const [name, count] of Object.entries(counts)) print(count, name === 'kills' ? 'kills of the store' : name)
  print([...storeFailures.values()].reduce((sum, count) => sum + count, 0), 'times a process found the store failing')
  print((questionsInPeace / USERS / (storms - peace) * RECHECK).toFixed(2),
    'questions per user and minute in peace, the first included')
  for (const [name, times] of Object.entries(delays)) {
    const [half, most] = [times.sort((a, b) => a - b)[times.length >> 1], times.at(-1)]
    print(half?.toFixed(0) ?? '-', `ms until ${name} know of a sign-out, median of ${times.length}; most: ${most?.toFixed(0)}`)
  }
  for (const [name, cases] of Object.entries(wrong)) {
    print(cases.length, name)
    for (const example of cases.slice(0, 5)) console.log(' '.repeat(10) + example)
  }
  process.exitCode = total > 0 && Object.values(wrong).every(cases => cases.length === 0) ? 0 : 1
}

/** @param {number | string} figure @param {string} meaning */
function print (figure, meaning) {
  console.log(String(figure).padStart(9), meaning)
}
