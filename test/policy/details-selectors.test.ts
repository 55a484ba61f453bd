import t, { type Test } from 'tap'
import { cfAccess, policy, type CfAccessIdentity, type CfAccessRules, type CfAccessSelectors } from '../../lib/index.js'
import { AUD, createApp, startTeam } from '../fixtures/index.js'

const team = await startTeam(t)
const other = await startTeam(t)
const app = createApp(t)
await app.register(cfAccess, { teamDomain: [team.domain, other.domain], audience: AUD, global: false })

type Answer = Record<string, unknown>

async function userWith (identity: Answer): Promise<CfAccessIdentity> {
  return await app.cfAccess.verify(team.userToken({ email: 'a@acme.com', audience: AUD, identity }))
}

/** What a selector says of an answer: `undefined` where it has no certain answer, so that every rule denies. */
async function matchOf (selectors: CfAccessSelectors, identity: CfAccessIdentity): Promise<boolean | undefined> {
  const allowed = async (rule: 'include' | 'require' | 'exclude'): Promise<boolean> =>
    await policy({ [rule]: selectors } as CfAccessRules).allows(identity)
  const [include, require, exclude] = [await allowed('include'), await allowed('require'), await allowed('exclude')]
  t.equal(include, require, 'include and require agree on one selector')
  t.notOk(include && exclude, 'exclude is no weaker')
  return include ? true : exclude ? false : undefined
}

const check = (name: string, success: unknown): Answer => ({ type: 'disk_encryption', rule_name: name, success })
const POSTURE = {
  'f6f9391e-0000': check('Disk Encryption', true),
  'f6f9391e-1111': check('Firewall', false),
  'f6f9391e-2222': check('OS', true),
  'f6f9391e-3333': check('OS', false),
  'f6f9391e-4444': check('Odd', 'true'),
  'f6f9391e-5555': null,
  Firewall: check('A name like another\'s ID', false)
}

/** A selector, what get-identity answers, and the match. */
const CASES: ReadonlyArray<readonly [selectors: CfAccessSelectors, answer: Answer, match: boolean | undefined]> = [
  [{ devicePosture: 'Disk Encryption' }, { devicePosture: POSTURE }, true],
  [{ devicePosture: 'disk encryption' }, { devicePosture: POSTURE }, true],
  [{ devicePosture: 'f6f9391e-0000' }, { devicePosture: POSTURE }, true],
  [{ devicePosture: 'Firewall' }, { devicePosture: POSTURE }, false],
  [{ devicePosture: ['Firewall', 'Disk Encryption'] }, { devicePosture: POSTURE }, true],
  [{ devicePosture: ['Firewall', 'Unknown'] }, { devicePosture: POSTURE }, undefined],
  [{ devicePosture: 'OS' }, { devicePosture: POSTURE }, undefined], // two results
  [{ devicePosture: 'f6f9391e-2222' }, { devicePosture: POSTURE }, true],
  [{ devicePosture: 'Odd' }, { devicePosture: POSTURE }, undefined],
  [{ devicePosture: 'f6f9391e-5555' }, { devicePosture: POSTURE }, undefined],
  [{ devicePosture: 'Disk Encryption' }, { devicePosture: {} }, undefined],
  [{ devicePosture: 'Disk Encryption' }, { devicePosture: undefined }, undefined],
  [{ devicePosture: 'Büro' }, { devicePosture: { x: check('Bu\u0308ro', true) } }, undefined], // another spelling
  [{ warp: true }, { is_warp: true }, true],
  [{ warp: true }, { is_warp: false }, false],
  [{ warp: true }, { is_warp: undefined }, undefined],
  [{ gateway: true }, { is_gateway: true }, true],
  [{ gateway: true }, { is_gateway: false }, false],
  [{ gateway: true }, { is_gateway: null }, undefined],
  [{ ip: '192.0.2.7' }, { ip: '192.0.2.7' }, true],
  [{ ip: '192.0.2.7' }, { ip: '192.0.2.8' }, false],
  [{ ip: '192.0.2.0/24' }, { ip: '192.0.2.255' }, true],
  [{ ip: '192.0.2.0/24' }, { ip: '192.0.3.0' }, false],
  [{ ip: '192.0.2.7/24' }, { ip: '192.0.2.0' }, true],
  [{ ip: '0.0.0.0/0' }, { ip: '203.0.113.1' }, true],
  [{ ip: '0.0.0.0/0' }, { ip: '2001:db8::1' }, false],
  [{ ip: '::/0' }, { ip: '2001:db8::1' }, true],
  [{ ip: '2001:db8::/32' }, { ip: '2001:DB8:ffff::1' }, true],
  [{ ip: '2001:db8::/32' }, { ip: '2001:db9::1' }, false],
  [{ ip: '2001:db8:1::/48' }, { ip: '2001:db8:1:f::1' }, true],
  [{ ip: '2001:db8:1::/48' }, { ip: '2001:db8:2::1' }, false],
  [{ ip: '2001:db8::1' }, { ip: '2001:db8::2' }, false],
  [{ ip: '2001:DB8::/32' }, { ip: '2001:db8::1' }, true],
  [{ ip: ['192.0.2.0/24', '2001:db8::1'] }, { ip: '2001:db8:0:0::1' }, true],
  [{ ip: '192.0.2.0/24' }, { ip: '::ffff:192.0.2.9' }, true],
  [{ ip: '192.0.2.0/24' }, { ip: '' }, undefined],
  [{ ip: '192.0.2.0/24' }, { ip: 'localhost' }, undefined],
  [{ ip: '192.0.2.0/24' }, { ip: '192.0.2.1, 192.0.2.2' }, undefined],
  [{ attribute: { department: 'finance' } }, { saml_attributes: { department: 'finance' } }, true],
  [{ attribute: { department: 'finance' } }, { oidc_fields: { department: 'finance' } }, true],
  [{ attribute: { department: ['legal', 'finance'] } }, { oidc_fields: { department: ['x', 'finance'] } }, true],
  [{ attribute: { department: 'finance' } }, { oidc_fields: { department: 'legal' } }, false],
  [{ attribute: { department: 'finance' } }, { oidc_fields: { department: 'Finance' } }, undefined],
  [{ attribute: { department: 'finance' } }, { oidc_fields: {} }, undefined],
  [{ attribute: { department: 'finance' } }, {}, undefined],
  [{ attribute: { department: 'finance' } },
    { saml_attributes: { department: 'finance' }, oidc_fields: { department: 'legal' } }, undefined],
  [{ attribute: { department: 'finance' } },
    { saml_attributes: { department: 'finance' }, oidc_fields: { department: ['finance'] } }, true],
  [{ attribute: { level: 7 } }, { oidc_fields: { level: 7 } }, true],
  [{ attribute: { level: 7 } }, { oidc_fields: { level: '7' } }, undefined],
  [{ attribute: { 'address.country': 'DE' } }, { oidc_fields: { address: { country: 'DE' } } }, true],
  [{ attribute: { constructor: 'x' } }, { oidc_fields: { a: 1 } }, undefined]
]

t.test('selectors that get-identity answers', async t => {
  for (const [selectors, answer, match] of CASES) {
    t.equal(await matchOf(selectors, await userWith(answer)), match, JSON.stringify([selectors, answer]))
  }
})

t.test('a malformed field has no answer', async t => {
  for (const [selectors, answer] of [
    [{ warp: true }, { is_warp: 'true' }], [{ gateway: true }, { is_gateway: 1 }], [{ ip: '::/0' }, { ip: 7 }],
    [{ devicePosture: 'x' }, { devicePosture: [] }], [{ attribute: { a: 'x' } }, { oidc_fields: 'a' }]
  ] as ReadonlyArray<readonly [CfAccessSelectors, Answer]>) {
    await t.rejects(policy({ include: selectors }).allows(await userWith(answer)),
      { code: 'FST_CF_ACCESS_IDENTITY_UNAVAILABLE' }, JSON.stringify(answer))
  }
})

t.test('services and certificates', async t => {
  const token = team.serviceToken({ clientId: `${'e'.repeat(32)}.access`, audience: AUD, identity: { ip: '192.0.2.1' } })
  const service = await app.cfAccess.verify(token)
  t.equal(await matchOf({ ip: '192.0.2.0/24' }, service), true)
  t.equal(await matchOf({ attribute: { department: 'finance' } }, service), false, 'only users have attributes')
  t.equal(await matchOf({ devicePosture: 'Firewall' }, service), undefined)
})

t.test('the team is that of the token', async t => {
  const token = other.userToken({ email: 'a@acme.com', audience: AUD })
  const identity = await app.cfAccess.verify(token)
  t.equal(await matchOf({ team: other.domain }, identity), true)
  t.equal(await matchOf({ team: [team.domain, other.domain] }, identity), true)
  t.equal(await matchOf({ team: team.domain }, identity), false)
  t.equal(await matchOf({ team: 'acme' }, identity), false)
})

t.test('details() has the fields', async t => {
  const answer = { ip: '192.0.2.1', is_warp: true, is_gateway: false, oidc_fields: { a: 1 }, saml_attributes: { b: 2 } }
  t.match(await (await userWith(answer)).details(),
    { ip: '192.0.2.1', isWarp: true, isGateway: false, oidcFields: { a: 1 }, samlAttributes: { b: 2 } })
})

const WRONG: readonly unknown[] = [
  { warp: false }, { warp: 'true' }, { gateway: null }, { devicePosture: [] }, { devicePosture: '' },
  { devicePosture: 'Disk*' }, { devicePosture: true }, { ip: '' }, { ip: '192.0.2' }, { ip: '192.0.2.0/33' },
  { ip: '2001:db8::/129' }, { ip: '192.0.2.0/' }, { ip: '192.0.2.*' }, { ip: 'fe80::1%eth0' }, { ip: 7 }, { ip: [] },
  { ip: '192.0.2.0/-1' }, { ip: '192.0.2.0/0024' }, { ip: '-192.0.2.0' }, { ip: [['192.0.2.0']] }, { attribute: {} }, { attribute: { a: null } }, { attribute: 'a' }, { team: '' },
  { team: 'acme.com' }, { team: [] }, { team: 7 }
]

t.test('values that cannot be right are errors', async (t: Test) => {
  for (const include of WRONG) {
    const code = 'FST_CF_ACCESS_OPTIONS_INVALID'
    t.throws(() => policy({ include } as CfAccessRules), { code }, JSON.stringify(include))
  }
})
