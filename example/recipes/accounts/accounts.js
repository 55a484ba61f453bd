// From an identity of Access to the application's own account: `request.account`. The README has the reasons.
import createError from '@fastify/error'
import fp from 'fastify-plugin'

/** @typedef {import('fastify-cf-access').CfAccessIdentity} CfAccessIdentity */
/** @typedef {import('fastify-cf-access').CfAccessUser} CfAccessUser */
/** @typedef {import('./types.js').StoredAccount} StoredAccount */

export const NoAccountError = createError('ACCOUNT_NONE', 'There is no account for this identity', 403)
export const AccountDisabledError = createError('ACCOUNT_DISABLED', 'This account is disabled', 403)

const FIVE_MINUTES = 5 * 60_000

/**
 * Register it after `fastify-cf-access`, in the same scope or one below: hooks run in that order, so its own always
 * find an identity that is verified and admitted.
 *
 * @type {import('fastify').FastifyPluginAsync<import('./types.js').AccountsOptions>}
 */
const registerAccounts = async (app, options) => {
  const accountFor = accountFinder(options)

  /** @param {import('fastify').FastifyRequest} request */
  async function setAccount (request) {
    // A scope created before the registration lacks the decorator's initial value.
    request.account ??= null
    if (request.cfAccess !== null && request.account === null) {
      const { isDisabled, rolesCheckedAt, ...account } = await accountFor(request.cfAccess, request.log)
      if (isDisabled) throw new AccountDisabledError()
      request.account = { ...account, roles: account.roles ?? [] }
    }
  }

  app.decorateRequest('account', null)
  // Before the body is parsed; and after all guards of the route itself and of scopes below, which run later.
  app.addHook('onRequest', setAccount)
  app.addHook('preHandler', setAccount)
}

export const accounts = fp(registerAccounts, { name: 'accounts', dependencies: ['fastify-cf-access'] })

/**
 * The account of a request, for routes that need one.
 *
 * @param {import('fastify').FastifyRequest} request
 */
export function accountOf ({ account }) {
  if (account == null) throw new NoAccountError() // also `undefined`, where the hooks have not run
  return account
}

/** @param {import('./types.js').AccountsOptions} options */
function accountFinder ({
  store, services = {}, certificates = {}, verifiedBy = [], rolesOf, rolesMaxAge = FIVE_MINUTES
}) {
  const machines = {
    service: new Map(Object.entries(services)),
    certificate: new Map(Object.entries(certificates))
  }

  /**
   * @param {CfAccessIdentity} identity
   * @param {import('fastify').FastifyBaseLogger} log gets IDs of accounts, no token and no address
   */
  return async function accountFor (identity, log) {
    switch (identity.kind) {
      case 'user': return ofUser(identity, log)
      case 'service': return ofMachine(machines.service.get(identity.clientId))
      case 'certificate': return ofMachine(machines.certificate.get(identity.commonName))
    }
  }

  /** @param {import('./types.js').Machine | undefined} machine */
  async function ofMachine (machine) {
    if (machine === undefined) throw new NoAccountError()
    return { ...await store.provideMachine(machine.account), roles: machine.roles ?? [] }
  }

  /**
   * @param {CfAccessUser} user
   * @param {import('fastify').FastifyBaseLogger} log
   */
  async function ofUser (user, log) {
    const key = { issuer: user.claims.iss, subject: user.subject }
    // A database can end a text at a null character, and so take two subjects for one.
    if (/\p{Cc}/u.test(key.subject)) throw new NoAccountError()
    let account = await store.find(key)
    if (account === null) {
      account = await store.provide(key, user.email, await isVerified(user))
      log.info({ account: account.id }, 'first request of a user')
    }
    if (account.isDisabled) return account
    // The same user has another address now.
    if (account.email !== user.email) await store.setEmail(account.id, user.email)
    return refreshRoles({ ...account, email: user.email }, user, log)
  }

  /**
   * Whether the user's address can link to an account that waits for it. When Access cannot tell, the request fails:
   * a new account now would keep the user from the one that waits for good.
   *
   * @param {CfAccessUser} user
   */
  async function isVerified (user) {
    if (verifiedBy.length === 0 || !await store.isAwaited(user.email)) return false
    const { identityProvider: { id = '', type = '' } = {}, oidcFields = {} } = await user.details()
    const isDenied = ![undefined, true, 'true'].includes(/** @type {any} */ (oidcFields['email_verified']))
    return !isDenied && (verifiedBy.includes(id) || verifiedBy.includes(type))
  }

  /**
   * One request takes the refresh. The others go on with the roles that are stored; before there are any, they ask too.
   *
   * @param {StoredAccount} account
   * @param {CfAccessUser} user
   * @param {import('fastify').FastifyBaseLogger} log
   */
  async function refreshRoles (account, user, log) {
    const { id, roles: stored, rolesCheckedAt: seen } = account
    const now = Date.now()
    // The distance, so that a clock that is set back does not end the refreshes.
    const isDue = seen === null || Math.abs(now - seen) >= rolesMaxAge
    if (rolesOf === undefined || (!isDue && stored !== null)) return account
    const isMine = isDue && await store.claimRoles(id, seen, now)
    if (!isMine && stored !== null) return account
    const groups = await groupsOf(user)
    if (groups === undefined) log.warn({ account: id }, 'the groups of a user are unknown, the roles stay as they are')
    const roles = groups === undefined ? stored ?? [] : rolesOf(groups)
    if (isMine && (groups !== undefined || stored === null)) await store.setRoles(id, now, roles)
    return { ...account, roles }
  }
}

/**
 * `undefined` when they are unknown. A session that Access has ended rejects the request.
 *
 * @param {CfAccessUser} user
 */
async function groupsOf (user) {
  try {
    const { groups } = await user.details()
    return groups
  } catch (error) {
    const { code } = /** @type {import('fastify').FastifyError} */ (error)
    if (code === 'FST_CF_ACCESS_IDENTITY_UNAVAILABLE') return undefined
    throw error
  }
}
