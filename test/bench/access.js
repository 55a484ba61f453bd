/** The team emulator, and the tokens that every contestant gets. */
import { createAccessTeam } from '../../dist/testing/index.js'

export const TEAM = 'bench'
export const DOMAIN = `https://${TEAM}.cloudflareaccess.com`
export const CERTS_PATH = '/cdn-cgi/access/certs'
export const CERTS_URL = DOMAIN + CERTS_PATH
export const AUDIENCE = 'a'.repeat(64)

/** A team whose tokens name a domain of Cloudflare's, since some contestants take no other. */
export class Access {
  /** @readonly @type {import('../../dist/testing/index.js').AccessTeam} */
  team
  #signed = 0

  /** @param {import('../../dist/testing/index.js').AccessTeam} team */
  constructor (team) {
    this.team = team
  }

  static async start () {
    return new Access(await createAccessTeam())
  }

  /** Where the keys really are. */
  get certsUrl () {
    return this.team.domain + CERTS_PATH
  }

  /**
   * A token that no contestant has seen.
   * @param {Partial<import('../../dist/testing/index.js').UserTokenOptions['claims']> & { audience?: string,
   * expiresIn?: import('../../dist/index.js').CfAccessDuration }} [claims] what is other than right
   */
  token ({ audience = AUDIENCE, expiresIn = '24h', ...claims } = {}) {
    const email = `user-${this.#signed++}@example.com`
    return this.team.userToken({ email, audience, expiresIn, claims: { iss: DOMAIN, ...claims } })
  }

  /** @param {number} count @param {Parameters<Access['token']>[0]} [claims] what is other than right */
  tokens (count, claims) {
    return Array.from({ length: count }, () => this.token(claims))
  }

  close () {
    return this.team.close()
  }
}
