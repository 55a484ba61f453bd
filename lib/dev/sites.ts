/**
 * The origins that the emulator answers on. The team is another site than its applications, as at Cloudflare: a page
 * cannot follow a redirect to the login page by `fetch`, and neither sees the other's cookies.
 */
import type { Applications } from './applications.js'

/** The team's hostname. It and the applications' are loopback addresses; they share the port. */
export const TEAM_HOSTNAME = 'localhost'

const LOOPBACK_HOST = /^((?:[\w-]+\.)*localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/i

export interface Link {
  readonly name: string
  readonly url: string
}

export class Sites {
  readonly #port: number
  readonly #applications: Applications

  constructor (port: number, applications: Applications) {
    this.#port = port
    this.#applications = applications
  }

  /** The team's origin, which is the issuer of its tokens. */
  get team (): string {
    return this.originOf(TEAM_HOSTNAME)
  }

  /** Where each application is reached. */
  get links (): readonly Link[] {
    return this.#applications.list.map(({ hostname, path, name }) => ({ name, url: this.originOf(hostname) + path }))
  }

  originOf (hostname: string): string {
    return `http://${hostname}:${this.#port}`
  }

  /** The hostname of a `Host` header; `null` for one that is not this machine's. */
  hostnameIn (host: string | undefined): string | null {
    return LOOPBACK_HOST.exec(String(host))?.[1]?.toLowerCase() ?? null
  }

  /** Whether a URL's origin is the team's or an application's. */
  hasOrigin (origin: string): boolean {
    const hostname = /^http:\/\/([^/:]+):\d+$/.exec(origin)?.[1] ?? ''
    const isKnown = hostname === TEAM_HOSTNAME || this.#applications.hasHostname(hostname)
    return isKnown && origin === this.originOf(hostname)
  }
}
