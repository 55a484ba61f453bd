/** What the command prints once it listens: settings that are ready to paste. */
import type { AccessEdge } from './edge.js'

export function banner ({ domain, applications }: Pick<AccessEdge, 'domain' | 'applications'>, to: string): string {
  const options = applications.map(({ path, audience }) =>
    `  { ${path === '/' ? '' : `prefix: '${path}', `}teamDomain: '${domain}', audience: '${audience}' }`)
  const tags =
    applications.map(({ path, audience }) => `  CF_ACCESS_AUD=${audience}${path === '/' ? '' : `  # ${path}`}`)
  return `An emulator for Cloudflare Access, for development only: anyone who opens it can sign in as any user.

Open ${domain} instead of ${to}

The plugin's options:

${options.join('\n')}

Environment variables:

  CF_ACCESS_TEAM_DOMAIN=${domain}
${tags.join('\n')}

Press Ctrl+C to stop.
`
}
