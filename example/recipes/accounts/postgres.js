// Accounts in PostgreSQL, for any number of processes.
import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { foldEmail, query } from './store.js'

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS accounts (
    id uuid PRIMARY KEY,
    -- The name of a machine's account.
    machine text UNIQUE,
    -- To show, never to find an account.
    email text,
    -- The account waits for a user with this address. The first one takes it, and then it is NULL for good.
    awaited_email text UNIQUE,
    -- NULL before the first refresh.
    roles text[],
    roles_checked_at timestamptz,
    is_disabled boolean NOT NULL DEFAULT false
  );
  CREATE TABLE IF NOT EXISTS users (
    issuer text NOT NULL,
    subject text NOT NULL,
    account_id uuid NOT NULL UNIQUE REFERENCES accounts (id) ON DELETE CASCADE,
    PRIMARY KEY (issuer, subject)
  )`

// Any number that your application does not use for another lock.
const SCHEMA_LOCK = 5_170_226

/**
 * @param {import('pg').PoolConfig} config
 * @returns {Promise<import('./types.js').AccountStore>}
 */
export async function openPostgres (config) {
  const pool = new pg.Pool(config)
  // An idle connection broke. The next query gets a new one, or an error of its own.
  pool.on('error', ignore)

  /**
   * In a transaction, which is rolled back when the result is `null`.
   *
   * @template T
   * @param {(client: import('pg').PoolClient) => Promise<T>} run
   */
  async function transaction (run) {
    const client = await pool.connect()
    // When the connection breaks, the query that needs it says so.
    client.on('error', ignore)
    try {
      // The level in which a statement sees what the transaction it waited for has committed.
      await client.query('BEGIN ISOLATION LEVEL READ COMMITTED')
      const result = await run(client)
      await client.query(result === null ? 'ROLLBACK' : 'COMMIT')
      client.release()
      return result
    } catch (error) {
      client.release(true) // closes the connection, which rolls back
      throw error
    } finally {
      client.off('error', ignore)
    }
  }

  /** @type {import('./types.js').AccountStore['find']} */
  async function find ({ issuer, subject }) {
    const { rows: [row] } = await pool.query(
      'SELECT accounts.* FROM users JOIN accounts ON accounts.id = account_id WHERE issuer = $1 AND subject = $2',
      [issuer, subject])
    return row === undefined ? null : accountFrom(row)
  }

  /** @param {string} name */
  async function findMachine (name) {
    const { rows: [row] } = await pool.query('SELECT * FROM accounts WHERE machine = $1', [name])
    return row === undefined ? null : accountFrom(row)
  }

  /**
   * Rolled back where another transaction has added the user: its account is the one.
   *
   * @type {(...args: Parameters<import('./types.js').AccountStore['provide']>) => Promise<true | null>}
   */
  async function addUser ({ issuer, subject }, email, isVerified) {
    return transaction(async client => {
      const { rows: [awaiting] } = isVerified
        ? await client.query(
          'UPDATE accounts SET awaited_email = NULL, email = $1 WHERE awaited_email = $2 RETURNING id',
          [email, foldEmail(email)])
        : { rows: [] }
      const id = awaiting?.id ?? randomUUID()
      if (awaiting === undefined) await client.query('INSERT INTO accounts (id, email) VALUES ($1, $2)', [id, email])
      const { rowCount } = await client.query(
        'INSERT INTO users (issuer, subject, account_id) VALUES ($1, $2, $3) ON CONFLICT (issuer, subject) DO NOTHING',
        [issuer, subject, id])
      return rowCount === 1 ? true : null
    })
  }

  await query(() => transaction(async client => {
    // Several processes start at once, and IF NOT EXISTS alone does not keep them apart.
    await client.query('SELECT pg_advisory_xact_lock($1)', [SCHEMA_LOCK])
    await client.query(SCHEMA)
  })).catch(async error => {
    await pool.end()
    throw error
  })

  return {
    find: key => query(() => find(key)),
    isAwaited: email => query(async () => {
      const { rowCount } = await pool.query('SELECT FROM accounts WHERE awaited_email = $1', [foldEmail(email)])
      return rowCount === 1
    }),
    provide: (key, email, isVerified) => query(async () => {
      await addUser(key, email, isVerified)
      return existing(await find(key))
    }),
    provideMachine: name => query(async () => {
      const known = await findMachine(name)
      if (known !== null) return known
      await pool.query('INSERT INTO accounts (id, machine) VALUES ($1, $2) ON CONFLICT (machine) DO NOTHING',
        [randomUUID(), name])
      return existing(await findMachine(name))
    }),
    setEmail: (id, email) => query(async () => {
      await pool.query('UPDATE accounts SET email = $1 WHERE id = $2', [email, id])
    }),
    claimRoles: (id, seen, now) => query(async () => {
      const { rowCount } = await pool.query(
        'UPDATE accounts SET roles_checked_at = $1 WHERE id = $2 AND roles_checked_at IS NOT DISTINCT FROM $3',
        [new Date(now), id, seen === null ? null : new Date(seen)])
      return rowCount === 1
    }),
    setRoles: (id, claimedAt, roles) => query(async () => {
      await pool.query('UPDATE accounts SET roles = $1 WHERE id = $2 AND roles_checked_at = $3',
        [roles, id, new Date(claimedAt)])
    }),
    invite: email => query(async () => {
      const { rows: [row] } = await pool.query(
        'INSERT INTO accounts (id, email, awaited_email) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING id',
        [randomUUID(), email, foldEmail(email)])
      return row?.id ?? null
    }),
    setDisabled: (id, isDisabled) => query(async () => {
      await pool.query('UPDATE accounts SET is_disabled = $1 WHERE id = $2', [isDisabled, id])
    }),
    close: async () => pool.end()
  }
}

function ignore () {}

/** @param {import('./types.js').StoredAccount | null} account */
function existing (account) {
  if (account === null) throw new Error('the account was deleted at this moment')
  return account
}

/**
 * @param {Record<string, any>} row
 * @returns {import('./types.js').StoredAccount}
 */
function accountFrom ({ id, machine, email, roles, roles_checked_at: checkedAt, is_disabled: isDisabled }) {
  return {
    id,
    kind: machine === null ? 'user' : 'machine',
    email,
    machine,
    roles,
    isDisabled,
    rolesCheckedAt: checkedAt?.getTime() ?? null
  }
}
