/** Runs the command. */
import { readFile } from 'node:fs/promises'
import { banner } from './banner.js'
import { readArguments, USAGE } from './arguments.js'
import { createAccessEdge } from './edge.js'
import { checkEdgeOptions, DEFAULT_SESSION, type AccessEdgeOptions } from './options.js'
import { run, type RunCommand } from './run.js'

// Milliseconds that the application has for its first answer.
const TIMEOUT = 2_000

/** @param args without the names of Node.js and of the script */
export async function main (args: readonly string[]): Promise<void> {
  try {
    const command = await readArguments(args)
    if (command === 'help') console.log(USAGE)
    else if (command === 'version') console.log(await readVersion())
    else await serve(command.dev, command.run)
  } catch (error) {
    process.exitCode = 1
    console.error((error as Error).message)
  }
}

async function serve (options: AccessEdgeOptions, command?: RunCommand): Promise<void> {
  const edge = await createAccessEdge({ log: line => console.log(line), ...options })
  const { to, users } = checkEdgeOptions(options)
  const emails = users.list.map(({ email }) => email)
  const { session = DEFAULT_SESSION } = options
  if (command === undefined) {
    console.log(banner(edge, { to, users: emails, session, isUp: await isUp(to) }))
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { edge.close() })
    return
  }
  console.log(banner(edge, { to, users: emails, session, command }))
  try {
    process.exitCode = await run(command, edge)
  } finally {
    await edge.close()
  }
}

async function isUp (origin: string): Promise<boolean> {
  try {
    await fetch(origin, { method: 'HEAD', redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT) })
    return true
  } catch {
    return false
  }
}

async function readVersion (): Promise<string> {
  const manifest = await readFile(new URL(import.meta.resolve('fastify-cf-access/package.json')), 'utf8')
  const { version } = JSON.parse(manifest) as { version: string }
  return version
}
