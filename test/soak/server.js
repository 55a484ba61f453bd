// Drives a listening server with mixed traffic, rotations and outages against a model that knows each
// token's truth. SOAK_SECONDS (60) and SOAK_SEED can be set. Ends with 1 when any answer was wrong.
import { once } from 'node:events'
import { Agent, request as httpRequest } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import Fastify from 'fastify'
import cfAccess from '../../lib/index.js'
import { createAccessTeam } from '../../lib/testing/index.js'
import { randomFrom, Traffic } from './traffic.js'
import { KEYS, TIMES, Truth } from './truth.js'

const SECONDS = Number(process.env['SOAK_SECONDS'] ?? 60)
const SEED = Number(process.env['SOAK_SEED'] ?? Date.now() % 1e6)
const CONNECTIONS = 24
const AUDIENCE = 'a'.repeat(64)
const OUTAGES = /** @type {const} */
  (['down', 'slow', 'silent', 'stalled', 'redirect', 'error', 'unknown', 'html', 'truncated', 'null', 'empty', 'broken',
    'endless'])

const random = randomFrom(SEED)
const team = await createAccessTeam()
const app = Fastify({ forceCloseConnections: true })
await app.register(cfAccess, {
  teamDomain: team.domain,
  audience: AUDIENCE,
  prefix: '/admin',
  keys: KEYS,
  cache: { max: 500 }
})
app.get('/admin', async () => 'in')
const { port } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))

const truth = new Truth(performance.now())
const publish = () => truth.publish(team.certs.keys.map(({ kid }) => String(kid)), performance.now())
publish()
const traffic = new Traffic(team, AUDIENCE, random)

/** @type {Map<string, number>} */
const outcomes = new Map()
/** @type {Record<'wrong admissions' | 'wrong rejections', string[]>} */
const wrong = { 'wrong admissions': [], 'wrong rejections': [] }
let rotations = 0
let outages = 0

const heapAtStart = await heap()
const end = performance.now() + SECONDS * 1000
await Promise.all([disturb(), ...Array.from({ length: CONNECTIONS }, drive)])
const heapAtEnd = await heap()

const fetches = team.requests.length
const mostFetches = Math.ceil(SECONDS * 1000 * (2 / TIMES.cooldown + 1 / TIMES.maxAge)) + 3
await Promise.all([app.close(), team.close()])
report()

/** One client on one connection, one request after the other. */
async function drive () {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  while (performance.now() < end) {
    const sent = traffic.next()
    const from = performance.now()
    const { status, code } = await ask(agent, sent.headers)
    note(sent, from, status, code)
  }
  agent.destroy()
}

/** @param {Agent} agent @param {Record<string, string>} headers */
async function ask (agent, headers) {
  const request = httpRequest({ host: '127.0.0.1', port, path: '/admin', agent, headers })
  request.end()
  const [response] = await once(request, 'response')
  let body = ''
  for await (const chunk of response) body += String(chunk)
  return {
    status: Number(response.statusCode),
    code: response.statusCode === 200
      ? 'in'
      : String(JSON.parse(body).code)
  }
}

/** @param {import('./truth.js').Sent} sent @param {number} from @param {number} status @param {string} code */
function note (sent, from, status, code) {
  const { may, must } = truth.judge(sent, from, performance.now())
  const outcome = `${sent.kind}: ${status} ${code}`
  outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
  const at = `${outcome} after ${((from - end) / 1000 + SECONDS).toFixed(1)} s`
  if (status === 200 ? !may : false) wrong['wrong admissions'].push(at)
  if (status !== 200 && (must || !isRight(sent, status, code))) wrong['wrong rejections'].push(at)
}

/**
 * Whether a rejection is the right one.
 * @param {import('./truth.js').Sent} sent
 * @param {number} status
 * @param {string} code
 */
function isRight ({ kind }, status, code) {
  if (kind === 'anonymous') return code === 'FST_CF_ACCESS_TOKEN_MISSING'
  if (kind === 'expired') return code === 'FST_CF_ACCESS_TOKEN_EXPIRED'
  if (kind === 'other audience') return code === 'FST_CF_ACCESS_TOKEN_INVALID'
  return (status === 401 && code === 'FST_CF_ACCESS_TOKEN_INVALID') ||
    (status === 503 && code === 'FST_CF_ACCESS_KEYS_UNAVAILABLE')
}

/** Rotates the keys and makes the endpoint fail, at random. */
async function disturb () {
  while (performance.now() < end - 1000) {
    await pause(500 + random() * 2500)
    if (random() < 0.5) {
      await team.rotateKeys()
      publish()
      traffic.refresh()
      rotations++
    } else {
      truth.endpoint(false, performance.now())
      team.outage(OUTAGES[Math.floor(random() * OUTAGES.length)] ?? 'down')
      outages++
      await pause(500 + random() * 4000)
      team.outage(null)
      truth.endpoint(true, performance.now())
    }
  }
}

async function heap () {
  await pause(100)
  globalThis.gc?.()
  return process.memoryUsage().heapUsed / 2 ** 20
}

function report () {
  const rows = [...outcomes].sort(([a], [b]) => a < b ? -1 : 1)
  for (const [outcome, count] of rows) console.log(String(count).padStart(9), outcome)
  const total = rows.reduce((sum, [, count]) => sum + count, 0)
  console.log(
    `${String(total).padStart(9)} requests in ${SECONDS} s, ${rotations} rotations, ${outages} outages, SOAK_SEED=${SEED}`)
  for (const [name, cases] of Object.entries(wrong)) {
    console.log(String(cases.length).padStart(9), name)
    for (const example of cases.slice(0, 5)) console.log(' '.repeat(10) + example)
  }
  console.log(String(fetches).padStart(9), `key fetches, ${mostFetches} allowed`)
  console.log(heapAtStart.toFixed(1).padStart(9), 'MiB of heap at start')
  console.log(heapAtEnd.toFixed(1).padStart(9), 'MiB of heap at end')
  const isGood = Object.values(wrong).every(cases => cases.length === 0) && fetches <= mostFetches && total > 0
  process.exitCode = isGood ? 0 : 1
}
