/** Runs the command. */
import { readFile } from 'node:fs/promises'
import { banner } from './banner.js'
import { readArguments, USAGE } from './arguments.js'
import { createAccessEdge } from './edge.js'
import type { AccessEdgeOptions } from './options.js'

/** @param args without the names of Node.js and of the script */
export async function main (args: readonly string[]): Promise<void> {
  try {
    const command = await readArguments(args)
    if (command === 'help') console.log(USAGE)
    else if (command === 'version') console.log(await readVersion())
    else await serve(command.dev)
  } catch (error) {
    process.exitCode = 1
    console.error((error as Error).message)
  }
}

async function serve (options: AccessEdgeOptions): Promise<void> {
  const edge = await createAccessEdge(options)
  console.log(banner(edge, options.to))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { edge.close() })
}

async function readVersion (): Promise<string> {
  const manifest = await readFile(new URL(import.meta.resolve('fastify-cf-access/package.json')), 'utf8')
  const { version } = JSON.parse(manifest) as { version: string }
  return version
}
