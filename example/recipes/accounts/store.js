// What both stores have in common.
import createError from '@fastify/error'

/** 503: a request whose account is not known is not served. */
export const AccountsUnavailableError = createError(
  'ACCOUNTS_UNAVAILABLE', 'The accounts are unavailable, retry later', 503)

/**
 * Runs queries. Of a database's error only the code is kept, for the log: its message and details can contain the
 * values of a row, and so an e-mail address.
 *
 * @template T
 * @param {() => T | Promise<T>} run
 */
export async function query (run) {
  try {
    return await run()
  } catch (error) {
    const { code, name } = /** @type {{ code?: string, name: string }} */ (error)
    throw Object.assign(new AccountsUnavailableError(), { reason: code ?? name })
  }
}

/**
 * Ignores the case of ASCII letters only. `toLowerCase()` alone turns other characters into ASCII letters, such as the
 * Kelvin sign into a k, and so an attacker's address into another user's.
 *
 * @param {string} email
 */
export function foldEmail (email) {
  return email.replace(/[A-Z]+/g, letters => letters.toLowerCase())
}
