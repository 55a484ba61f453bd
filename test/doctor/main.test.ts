import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import type { AccessTeam } from '../../lib/testing/index.js'
import { runDoctor } from '../fixtures/doctor.js'
import { AUD, startTeam } from '../fixtures/index.js'

/** The command, in a process of its own. */
function start (t: Test, args: readonly string[], env: Readonly<Record<string, string>> = {}): ChildProcess {
  const cli = fileURLToPath(new URL('../../lib/cli.js', import.meta.url))
  const child = spawn(process.execPath, [cli, ...args], { stdio: 'pipe', env: { ...process.env, ...env } })
  t.teardown(() => child.kill())
  return child
}

async function outcomeOf (child: ChildProcess, input = ''): Promise<{ code: number, out: string, error: string }> {
  child.stdin!.end(input)
  const [out, error, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), once(child, 'close')])
  return { code, out, error }
}

function tokenOf (team: AccessTeam): string {
  return team.userToken({ email: 'alice@acme.com', audience: AUD })
}

t.test('it reads settings from the environment and a token from standard input', async t => {
  const team = await startTeam(t)
  const env = { CF_ACCESS_TEAM_DOMAIN: team.domain, CF_ACCESS_AUD: AUD }
  const good = await outcomeOf(start(t, ['doctor', '--token', '-'], env), `${tokenOf(team)}\n`)
  t.match(good, { code: 0, error: '' })
  t.match(good.out, /^✓ .*\n(?:✓ .*\n)+✓ The plugin would admit this token as a user\.\n\nAll checks passed\.\n$/)
  const bad = await outcomeOf(start(t, ['doctor', '--token', '-', '--json'], env), team.metaToken({ audience: AUD }))
  t.match(bad, { code: 1, error: '' })
  const { ok, checks } = JSON.parse(bad.out)
  t.equal(ok, false)
  t.match(checks.at(-1), { name: 'verdict', ok: false, reason: 'issuer' })
})

t.test('the command explains itself, and names its commands', async t => {
  for (const args of [[], ['--help'], ['-h']]) {
    t.match(await outcomeOf(start(t, args)), { code: 0, error: '', out: /^Usage: fastify-cf-access COMMAND[^]*\n {2}dev [^]*\n {2}doctor / }, args.join(' '))
  }
  t.match(await outcomeOf(start(t, ['doctors'])), { code: 1, out: '', error: /'doctors'; it takes "dev" or "doctor"/ })
  t.match(await outcomeOf(start(t, ['doctor', '--nothing'])), { code: 1, out: '', error: /"--nothing" is not known/ })
  for (const flag of ['--help', '-h']) {
    t.match(await runDoctor(['doctor', flag].slice(1)), { code: 0, error: '', out: /^Usage: fastify-cf-access doctor \[options\]/ })
  }
})

t.test('each check is a line, and below one that failed is what to do', async t => {
  const team = await startTeam(t)
  const args = ['--team', team.domain, '--audience', AUD]
  const { code, out } = await runDoctor([...args, '--token', '-'], { token: 'a.b' })
  t.equal(code, 1)
  t.match(out, /\n✗ The text has 2 parts instead of 3: .*\n {2}→ Look for a proxy .*\n/)
  t.match(out, /\n✗ The plugin would reject this token with 401, for the reason "malformed"\. The text is not a JWT\.\n {2}→ .*\n\nFailed: form, verdict\.\nThe documentation has more: Troubleshooting\.\n$/)
  t.match(await runDoctor(args), { code: 0, out: /^(?:✓ .*\n){4}\nAll checks passed\.\n/ }, 'without a token')
  const json = await runDoctor([...args, '--json'])
  t.strictSame(Object.keys(JSON.parse(json.out)), ['ok', 'checks'])
  t.equal(JSON.parse(json.out).ok, true)
})

t.test('with settings that the plugin does not start with it still says what a token is', async t => {
  const team = await startTeam(t)
  const token = tokenOf(team)
  const { out } = await runDoctor(['--team', 'acme.example.com', '--token', '-'], { token })
  for (const line of [/✗ The team is not a team name/, /✗ There is no AUD tag/, /✗ .*; the settings have none\.\n/, /✓ The type is app/,
    /✓ .* name a user/, /✗ The plugin does not start with these settings\.\n {2}→ Correct the team and the AUD tag first\./]) {
    t.match(out, line)
  }
})

t.test('it says what a flag takes, and quotes no secret', async t => {
  const token = 'eyJhbGciOiJSUzI1NiJ9.e30.AAAA'
  const wrong: ReadonlyArray<readonly [args: readonly string[], error: RegExp]> = [
    [['--token', token], /takes only "-".*history of the shell/],
    [['--token='], /takes only "-"/],
    [['--token'], /argument missing.*See --help/],
    [[token], /flags only.*See --help/],
    [['--tem', 'x'], /"--tem" is not known; did you mean "--team"\?/],
    [['--url', 'app.example.com'], /"--url" takes an http or https URL/],
    [['--url', 'https://'], /"--url" takes/],
    [['--url', `https://alice:${token}@app.example.com`], /without credentials/],
    [['--url', 'https://:secret@app.example.com'], /without credentials/],
    [['--origin', 'http://127.0.0.1:1'], /"--origin" needs "--url"/],
    [['--url', 'https://app.example.com', '--origin', 'ftp://127.0.0.1'], /"--origin" takes an http or https URL/],
    [['--url', 'https://app.example.com', '--origin', 'http://127.0.0.1/x'], /"--origin" takes a URL without a path/],
    [['--clock-tolerance', '10m'], /"--clock-tolerance" is '10m'; it takes a duration from 0s to 5m/],
    [['--token', '-'], /Standard input has no token/]
  ]
  for (const [args, error] of wrong) {
    const outcome = await runDoctor(args)
    t.match(outcome, { code: 1, out: '', error }, args.join(' '))
    t.notMatch(outcome.error, token)
  }
})

t.test('at a terminal it asks for the token', async t => {
  const team = await startTeam(t)
  const args = ['--team', team.domain, '--audience', AUD, '--token', '-']
  t.match(await runDoctor(args, { token: ` ${tokenOf(team)}\n`, isTTY: true }), { code: 0, error: /^Paste the token.*\n$/ })
})
