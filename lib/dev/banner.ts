/** What the command prints once it listens: settings that are ready to paste. */
import { DEFAULT_HOSTNAME } from './applications.js'
import type { AccessEdge } from './edge.js'
import type { RunCommand } from './run.js'

export interface Announcement {
  readonly to: string
  /** The addresses of the users to sign in as. */
  readonly users: readonly string[]
  /** How long a session lasts, with its unit. */
  readonly session: string
  /** Whether the application answers. */
  readonly isUp?: boolean
  /** The application's own command, when it is run beside the emulator. */
  readonly command?: RunCommand
}

export function banner (
  { domain, url, applications }: Pick<AccessEdge, 'domain' | 'url' | 'applications'>,
  { to, users, session, isUp = true, command }: Announcement
): string {
  return `An emulator for Cloudflare Access, for development only: anyone who opens it can sign in as any user.

Open ${url} instead of ${to}${isUp ? '' : ', which does not answer yet'}
Sign in as ${users.join(', ')} or any other address; a session lasts ${session}.

${settings(domain, applications)}

${command === undefined ? '' : `Runs ${command.join(' ')} with these environment variables.\n\n`}Press Ctrl+C to stop.
`
}

/** Ready to paste. */
function settings (domain: string, applications: AccessEdge['applications']): string {
  const options = applications.map(({ path, audience }) =>
    `  { ${path === '/' ? '' : `prefix: '${path}', `}teamDomain: '${domain}', audience: '${audience}' }`)
  const tags = applications.map(({ hostname, path, audience }) => {
    const place = (hostname === DEFAULT_HOSTNAME ? '' : hostname) + (path === '/' ? '' : path)
    return `  CF_ACCESS_AUD=${audience}${place === '' ? '' : `  # ${place}`}`
  })
  return `The plugin's options:

${options.join('\n')}

Environment variables:

  CF_ACCESS_TEAM_DOMAIN=${domain}
${tags.join('\n')}`
}
