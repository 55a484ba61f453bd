/** Runs the command `doctor`. */
import { readArguments, USAGE, type Input } from './arguments.js'
import type { Check } from './check.js'
import { runChecks, type DoctorOptions } from './doctor.js'
import { isHealthy, jsonOf, linesOf, summaryOf } from './report.js'
import type { Env } from './trouble.js'

/** Where the command reads and writes. */
export interface Terminal {
  readonly env: Env
  readonly stdin: () => Input & { readonly isTTY?: boolean }
  readonly write: (text: string) => void
  readonly writeError: (text: string) => void
}

const ofProcess: Terminal = {
  env: process.env,
  stdin: () => process.stdin,
  write: text => process.stdout.write(text),
  writeError: text => process.stderr.write(text)
}

/**
 * @param args what follows the name of the command
 * @returns the exit code
 */
export async function main (args: readonly string[], terminal: Terminal = ofProcess): Promise<number> {
  try {
    const command = await readArguments(args, () => openInput(terminal))
    if (command !== 'help') return await report(command.options, command.isJson, terminal)
    terminal.write(USAGE)
    return 0
  } catch (error) {
    terminal.writeError(`${(error as Error).message}\n`)
    return 1
  }
}

function openInput ({ stdin, writeError }: Terminal): Input {
  const input = stdin()
  if (input.isTTY === true) writeError('Paste the token, then press Enter and Ctrl+D.\n')
  return input
}

async function report (options: DoctorOptions, isJson: boolean, { env, write }: Terminal): Promise<number> {
  const checks: Check[] = []
  for await (const check of runChecks(options, env)) {
    checks.push(check)
    if (!isJson) write(linesOf(check))
  }
  write(isJson ? jsonOf(checks) : summaryOf(checks))
  return isHealthy(checks) ? 0 : 1
}
