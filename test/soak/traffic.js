// The clients of the soak, and the tokens that they send.

const CLIENT_ID = 'e367826f93b8d71185e03fe518aff3b4.access'
const USERS = 150

/** @typedef {import('./truth.js').Sent} Sent */

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). @param {number} seed */
export function randomFrom (seed) {
  return () => {
    seed = (seed + 0x6D2B79F5) | 0
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export class Traffic {
  #random
  #team
  #audience
  /** @type {Sent[]} tokens that were good when they were made, the newest last */
  #good = []
  /** @type {string[]} */
  #spoilt = []

  /**
   * @param {import('../../lib/testing/index.js').AccessTeam} team
   * @param {string} audience
   * @param {() => number} random
   */
  constructor (team, audience, random) {
    this.#team = team
    this.#audience = audience
    this.#random = random
    this.refresh()
  }

  /** Gives each client a token of the current key; those of earlier keys are kept for a while. */
  refresh () {
    const kid = String(this.#team.certs.keys[0]?.['kid'])
    const audience = this.#audience
    for (let i = 0; i < USERS; i++) {
      this.#good.push({
        kind: 'good, user',
        kid,
        headers: bring(this.#team.userToken({ email: `user${i}@acme.com`, audience }), i % 3 === 0)
      })
    }
    this.#good.push({
      kind: 'good, service',
      kid,
      headers: bring(this.#team.serviceToken({ clientId: CLIENT_ID, audience }))
    })
    this.#good.splice(0, Math.max(0, this.#good.length - 4 * (USERS + 1)))
    this.#spoilt = Array.from({ length: 20 }, (_, i) => this.#team.userToken({
      email: `spoilt${i}@acme.com`,
      audience
    }))
  }

  /** @returns {Sent} */
  next () {
    const dice = this.#random()
    if (dice < 0.6) return this.#pick(this.#good)
    const kinds = [this.#anonymous, this.#expired, this.#otherAudience, this.#unknownKid, this.#forged, this.#new]
    return this.#pick(kinds).call(this)
  }

  #anonymous = () => ({ kind: 'anonymous', headers: {} })

  #expired = () => ({
    kind: 'expired',
    headers: bring(this.#team.userToken({
      email: 'a@acme.com',
      audience: this.#audience,
      expiresIn: '-1m'
    }))
  })

  #otherAudience = () => ({
    kind: 'other audience',
    headers: bring(this.#team.userToken({
      email: 'a@acme.com',
      audience: 'another'
    }))
  })

  #unknownKid = () => {
    const kid = Math.floor(this.#random() * 2 ** 48).toString(16).padStart(64, '0')
    return {
      kind: 'unknown kid',
      headers: bring(this.#team.userToken({ email: 'a@acme.com', audience: this.#audience, header: { kid } }))
    }
  }

  #forged = () => {
    const [header, payload, signature = ''] = this.#pick(this.#spoilt).split('.')
    const bytes = Buffer.from(signature, 'base64url')
    const at = Math.floor(this.#random() * bytes.length)
    bytes[at] = Number(bytes[at]) ^ (1 << Math.floor(this.#random() * 8))
    return { kind: 'forged', headers: bring(`${header}.${payload}.${bytes.toString('base64url')}`) }
  }

  /** A client that has just logged in. */
  #new = () => {
    const kid = String(this.#team.certs.keys[0]?.['kid'])
    return {
      kind: 'good, new',
      kid,
      headers: bring(this.#team.userToken({ email: 'new@acme.com', audience: this.#audience }))
    }
  }

  /** @template Item @param {readonly Item[]} items @returns {Item} */
  #pick (items) {
    return /** @type {Item} */ (items[Math.floor(this.#random() * items.length)])
  }
}

/** @param {string} token @returns {Record<string, string>} */
function bring (token, asCookie = false) {
  return asCookie ? { cookie: `a=1; CF_Authorization=${token}` } : { 'cf-access-jwt-assertion': token }
}
