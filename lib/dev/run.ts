/** Runs your app's own command beside the emulator, with the environment variables that `fromEnv()` reads. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { AccessEdge } from './edge.js'

/** A program and its arguments. */
export type RunCommand = readonly [program: string, ...args: string[]]

/**
 * @returns the exit code; 1 when a signal ended it
 * @throws {Error} when it cannot be started
 */
export async function run ([program, ...args]: RunCommand, { domain, applications }: AccessEdge): Promise<number> {
  const tags = new Set(applications.map(({ audience }) => audience))
  const env = { ...process.env, CF_ACCESS_TEAM_DOMAIN: domain, CF_ACCESS_AUD: [...tags].join(',') }
  const child = spawn(program, args, { stdio: 'inherit', env })
  forwardSignals(child)
  try {
    const [code] = await once(child, 'exit') as [number | null]
    return code ?? 1
  } catch (error) {
    throw new Error(`${program} cannot be started: ${(error as Error).message}`)
  }
}

/** A terminal sends Ctrl+C to both processes, so that one only must not end this process first. */
function forwardSignals (child: ChildProcess): void {
  process.on('SIGTERM', () => child.kill('SIGTERM')).on('SIGINT', () => {})
}
