#!/usr/bin/env node
/** The command `fastify-cf-access`: runs the command that its first argument names, and loads no other one. */

const USAGE = `Usage: fastify-cf-access COMMAND [options]

  dev       emulates Cloudflare Access in front of your app, for development
  doctor    says why requests are rejected: checks settings, keys, clock, a token, and your app's URL

Each command explains itself: fastify-cf-access dev --help
`

const [command, ...args] = process.argv.slice(2)

if (command === 'doctor') {
  const { main } = await import('./doctor/main.js')
  process.exitCode = await main(args)
} else if (command === undefined || command === '--help' || command === '-h') {
  console.log(USAGE)
} else {
  const { main } = await import('./dev/main.js')
  await main(process.argv.slice(2))
}
