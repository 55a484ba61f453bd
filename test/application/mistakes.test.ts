import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { cfAccess, fromEnv, guard, type CfAccessOptions, type CfAccessPolicy } from '../../lib/index.js'
import { runDoctor } from '../fixtures/doctor.js'
import { AUD, bearing, listen, OTHER_AUD, startTeam } from '../fixtures/index.js'

// What the log and the doctor say of the mistakes that operators make: each names its cause and what to do.

const team = await startTeam(t)
const strangers = await startTeam(t)
const lost = await startTeam(t)
lost.outage('unknown')
const token = (options: object = {}): string => team.userToken({ email: 'alice@acme.com', audience: AUD, ...options })
const access = { teamDomain: team.domain, audience: AUD }
const service = team.serviceToken({ clientId: 'e367826f93b8d71185e03fe518aff3b4.access', audience: AUD })

interface Mistake {
  readonly options?: Partial<CfAccessOptions>
  readonly request?: { readonly headers: Record<string, string>, readonly method?: 'OPTIONS' | 'POST' }
  /** Declares what is wrong in the application. */
  readonly declare?: (app: FastifyInstance) => unknown
  /** In the log from the start to the request, or in the error that stops the start. */
  readonly log: RegExp
  readonly doctor?: RegExp
  readonly doctorArgs?: readonly string[]
  readonly doctorEnv?: Readonly<Record<string, string>>
}

const withToken = (text: string): Pick<Mistake, 'request'> => ({ request: { headers: bearing(text) } })

const MISTAKES: Readonly<Record<string, Mistake>> = {
  'quotes in the AUD tag': {
    options: { audience: `"${AUD}"` },
    log: /Option "audience" is '"a+"'; it takes the AUD tag of an Access application, without quotes/,
    doctor: /✗ .*quotes/,
    doctorArgs: ['--audience', `"${AUD}"`]
  },
  'a UUID as the AUD tag, of a real team': {
    options: { teamDomain: 'acme', audience: 'ffb0c1e5-1111-4222-8333-444455556666', fetch: async () => { throw new Error('no') } },
    log: /AUD tag.*64/,
    doctor: /✗ .*UUID|✗ .*ID of/,
    doctorArgs: ['--team', 'acme', '--audience', 'ffb0c1e5-1111-4222-8333-444455556666']
  },
  'a misspelt option': { options: { team: 'acme' } as object, log: /Did you mean "teamDomain"\?/i },
  'a path in the team domain': {
    options: { teamDomain: 'acme.cloudflareaccess.com/admin' },
    log: /Option "teamDomain" is 'acme\.cloudflareaccess\.com\/admin'; it takes a team name/,
    doctor: /✗ The team is not a team name.*\n.*→ It takes a team name/,
    doctorArgs: ['--team', 'acme.cloudflareaccess.com/admin']
  },
  'a duration without its unit': { options: { keys: { maxAge: 60 } } as object, log: /write "60s" or "60ms"/ },
  'a missing variable': { declare: () => fromEnv({ CF_ACCESS_AUD: AUD }), log: /CF_ACCESS_TEAM_DOMAIN is missing/ },
  'a pattern as an address': { options: { policy: { include: { email: '*@acme.com' } } }, log: /emailDomain/ },
  'a misspelt selector': {
    options: { policy: { include: { emails: 'a@acme.com' } } as unknown as CfAccessPolicy }, log: /Did you mean "email"\?/i
  },
  'guard without its parentheses': {
    declare: app => app.get('/x', { preHandler: guard as never }, async () => 'in').inject('/x').then(({ body }) => { throw new Error(body) }),
    log: /write guard\(\), not guard/
  },
  'a prefix that the scope has already': {
    declare: app => app.register(async scope => { await scope.register(cfAccess, { ...access, prefix: '/v1' }) }, { prefix: '/v1' }),
    log: /this scope's prefix is already "\/v1"; leave it out/
  },
  'a prefix that no route is under': { options: { prefix: '/amdin' }, log: /guards \/amdin, but no route is there/ },
  'middleware that runs first': { declare: app => app.decorate('use', () => app), log: /runs before/ },
  'a path that Access does not protect': {
    request: { headers: {} },
    log: /"reason":"missing",.*"credentials":\[\]/,
    doctor: /✗ .*answers? with status.*\n.*→ Add an Access application/s,
    doctorArgs: ['--url', 'ORIGIN']
  },
  'an origin that answers around the edge': {
    request: { headers: {} }, log: /"reason":"missing"/, doctor: /✗ /, doctorArgs: ['--url', 'ORIGIN', '--origin', 'ORIGIN']
  },
  'only the cookie, which is switched off': {
    options: { cookie: false },
    request: { headers: { cookie: `CF_Authorization=${token()}` } },
    log: /"credentials":\["cookie"\],"hint":"[^"]*the option cookie is false/
  },
  'a service token sent around the edge': {
    request: { headers: { 'cf-access-client-id': 'x.access', 'cf-access-client-secret': 'x' } },
    log: /"credentials":\["service-token"\],"hint":"[^"]*Service Auth policy/
  },
  'the AUD tag of another application': {
    ...withToken(token({ audience: OTHER_AUD })),
    log: new RegExp(`"expected":\\["${AUD}"\\],"received":\\["${OTHER_AUD}"\\]`),
    doctor: new RegExp(`✗ .*its aud is ${OTHER_AUD}; the settings have ${AUD}.*\\n.*→ Copy the Application Audience`)
  },
  'another team': {
    ...withToken(strangers.userToken({ email: 'alice@acme.com', audience: AUD })),
    log: new RegExp(`"reason":"issuer".*"expected":\\["${team.domain}"\\],"received":"${strangers.domain}"`, 's'),
    doctor: new RegExp(`✗ .*${strangers.domain}.*${team.domain}`)
  },
  'a clock that is 5 minutes behind': {
    ...withToken(token({ issuedIn: '5m' })),
    log: /"reason":"time".*"clockTolerance":30.*"iat":\d+/s,
    doctor: /✗ .*in the future.*\n.*→ .*clock/s
  },
  'a clock that is 5 minutes ahead': {
    ...withToken(token({ expiresIn: '-5m' })), log: /"reason":"expired".*"exp":-\d+/s, doctor: /✗ .*expired \d+ minutes ago/
  },
  'the token from the address of the login page': {
    ...withToken(team.metaToken({ audience: AUD })), log: /"reason":"issuer"/, doctor: /✗ .*login/
  },
  'the token of Access\'s metadata': {
    ...withToken(team.matchToken({ audience: AUD })), log: /"reason":"/, doctor: /✗ .*metadata/
  },
  'the cookie of the team domain': {
    ...withToken(team.orgToken({ email: 'alice@acme.com', audience: AUD })),
    log: /"reason":"type".*"expected":"app","received":"org"/s,
    doctor: /✗ .*team domain/
  },
  'a key that was rotated out': {
    ...withToken(token({ header: { kid: 'c'.repeat(64) } })),
    log: /"reason":"kid".*"received":"c{64}"/s,
    doctor: /✗ .*c{64}/
  },
  'Bearer in front of the token': { ...withToken(`Bearer ${token()}`), log: /"reason":"malformed"/, doctor: /✗ .*begins with "Bearer"/ },
  'a token that a proxy cut off': {
    ...withToken(token().slice(0, 400)),
    log: /"expected":"three parts with dots between them","received":"400 characters"/,
    doctor: /✗ .*cut off/
  },
  'a proxy that changes the token': { ...withToken(`${token().slice(0, -12)}AAAAAAAAAAAA`), log: /"reason":"signature"/, doctor: /✗ .*signature/ },
  'a hostname without an AUD tag': {
    options: { audience: { 'app.example.com': AUD } },
    ...withToken(token()),
    log: /"reason":"host".*"expected":\["app\.example\.com"\],"received":"localhost:80"/s
  },
  'a misspelt group': {
    options: { policy: { include: { group: 'amdins' } } },
    ...withToken(token({ identity: { groups: [{ name: 'admins' }] } })),
    log: /"rule":"include".*"expected":\["group"\],"received":\{"kind":"user","groups":1\}/s
  },
  'groups that Access does not tell': {
    options: { policy: { include: { group: 'admins' } } },
    ...withToken(token({ identity: { groups: undefined } })),
    log: /"received":\{"kind":"user","groups":"unknown"\}/
  },
  'a service token where a user is wanted': {
    options: { policy: { include: { emailDomain: 'acme.com' } } },
    ...withToken(service),
    log: /"rule":"include".*"received":\{"kind":"service"/s,
    doctor: /✓ The plugin would admit this token as a service token/
  },
  'cors registered too late': {
    request: { method: 'OPTIONS', headers: { origin: 'https://x.example', 'access-control-request-method': 'PUT' } },
    log: /"hint":"[^"]*register @fastify\/cors before/
  },
  'a proxy that changes the Host header': {
    request: { method: 'POST', headers: { ...bearing(token()), origin: 'https://app.example.com' } },
    log: /"level":40.*"host":"localhost:80".*trustProxy/
  },
  'no such team': {
    options: { teamDomain: lost.domain },
    ...withToken(lost.userToken({ email: 'alice@acme.com', audience: AUD })),
    log: /the answer's status is 404/,
    doctor: /✗ .*404.*\n.*→/,
    doctorArgs: ['--team', lost.domain]
  },
  'a key endpoint that is down': {
    options: { teamDomain: 'http://127.0.0.1:1' },
    ...withToken(token({ claims: { iss: 'http://127.0.0.1:1' } })),
    log: /"level":40.*"reason":"fetch failed: .*"msg":"Cloudflare Access keys could not/,
    doctor: /✗ .*127\.0\.0\.1:1.*\n.*→/,
    doctorArgs: ['--team', 'http://127.0.0.1:1']
  },
  'a proxy that fetch does not use': {
    options: { teamDomain: 'http://127.0.0.1:1' },
    ...withToken(token({ claims: { iss: 'http://127.0.0.1:1' } })),
    log: /"reason":"fetch failed/,
    doctor: /→ .*NODE_USE_ENV_PROXY/s,
    doctorArgs: ['--team', 'http://127.0.0.1:1'],
    doctorEnv: { HTTPS_PROXY: 'http://127.0.0.1:2' }
  }
}

async function logOf (t: Test, { options, request, declare }: Mistake): Promise<{ app: FastifyInstance, log: string }> {
  let log = ''
  const stream = { write: (line: string) => { log += line } }
  const app = Fastify({ logger: { level: 'debug', stream }, forceCloseConnections: true })
  t.teardown(() => app.close())
  try {
    await declare?.(app)
    await app.register(cfAccess, { ...access, ...options })
    app.all('/', async () => 'in')
    await app.inject({ url: '/', ...request })
  } catch (error) {
    log += (error as Error).message
  }
  return { app, log }
}

async function doctorOf (app: FastifyInstance, { request, doctorArgs = [], doctorEnv = {} }: Mistake): Promise<string> {
  const port = doctorArgs.includes('ORIGIN') ? await listen(app) : 0
  const args = doctorArgs.map(arg => arg === 'ORIGIN' ? `http://127.0.0.1:${port}` : arg)
  const given = (name: string, value: string): string[] => args.includes(name) ? [] : [name, value]
  const text = request?.headers['cf-access-jwt-assertion']
  const asked = text === undefined ? [] : ['--token', '-']
  const { out, error } = await runDoctor(
    [...given('--team', team.domain), ...given('--audience', AUD), ...args, ...asked], { env: doctorEnv, token: text ?? '' })
  return out + error
}

t.test('each mistake has its cause in the log, and the doctor names it', async t => {
  for (const [name, mistake] of Object.entries(MISTAKES)) {
    const { app, log } = await logOf(t, mistake)
    t.match(log, mistake.log, `${name}: the log`)
    if (mistake.doctor !== undefined) t.match(await doctorOf(app, mistake), mistake.doctor, `${name}: the doctor`)
  }
  t.ok(Object.keys(MISTAKES).length >= 25)
})
