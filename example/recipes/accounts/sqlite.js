// Accounts in SQLite, in a file or in memory: for one machine. Several processes can share a file.
import { randomUUID } from 'node:crypto'
import Database from 'libsql'
import { foldEmail, query } from './store.js'

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS accounts (
    id TEXT PRIMARY KEY,
    -- The name of a machine's account.
    machine TEXT UNIQUE,
    -- To show, never to find an account.
    email TEXT,
    -- The account waits for a user with this address. The first one takes it, and then it is NULL for good.
    awaited_email TEXT UNIQUE,
    -- A JSON list; NULL before the first refresh.
    roles TEXT,
    roles_checked_at INTEGER,
    is_disabled INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE TABLE IF NOT EXISTS users (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    account_id TEXT NOT NULL UNIQUE REFERENCES accounts (id) ON DELETE CASCADE,
    PRIMARY KEY (issuer, subject)
  ) STRICT`

/**
 * @param {string} path a file, or `:memory:`
 * @returns {import('./types.js').AccountStore}
 */
export function openSqlite (path) {
  // Milliseconds to wait for another process that writes.
  const db = new Database(path, { timeout: 5000 })
  db.pragma('journal_mode = WAL')
  db.pragma('foreign_keys = ON')
  db.exec(SCHEMA)

  const find = db.prepare(`
    SELECT accounts.* FROM users JOIN accounts ON accounts.id = account_id WHERE issuer = ? AND subject = ?`)
  const findMachine = db.prepare('SELECT * FROM accounts WHERE machine = ?')
  const findAwaiting = db.prepare('SELECT id FROM accounts WHERE awaited_email = ?')
  const stopAwaiting = db.prepare('UPDATE accounts SET awaited_email = NULL, email = ? WHERE id = ?')
  const addAccount = db.prepare('INSERT INTO accounts (id, email) VALUES (?, ?)')
  const addMachine = db.prepare('INSERT INTO accounts (id, machine) VALUES (?, ?) ON CONFLICT (machine) DO NOTHING')
  const addUser = db.prepare('INSERT INTO users (issuer, subject, account_id) VALUES (?, ?, ?)')
  const addAwaiting = db.prepare(`
    INSERT INTO accounts (id, email, awaited_email) VALUES (?, ?, ?) ON CONFLICT (awaited_email) DO NOTHING`)
  const setEmail = db.prepare('UPDATE accounts SET email = ? WHERE id = ?')
  const claimRoles = db.prepare('UPDATE accounts SET roles_checked_at = ? WHERE id = ? AND roles_checked_at IS ?')
  const setRoles = db.prepare('UPDATE accounts SET roles = ? WHERE id = ? AND roles_checked_at = ?')
  const setDisabled = db.prepare('UPDATE accounts SET is_disabled = ? WHERE id = ?')

  // Immediate: the lock for writing comes first, so that what is read stays true until it ends.
  const provide = db.transaction(
    /** @type {(...args: Parameters<import('./types.js').AccountStore['provide']>) => StoredRow} */
    ({ issuer, subject }, email, isVerified) => {
      const known = find.get([issuer, subject])
      if (known !== undefined) return /** @type {StoredRow} */ (known)
      const awaiting = isVerified ? findAwaiting.get([foldEmail(email)]) : undefined
      const { id } = /** @type {{ id: string }} */ (awaiting ?? { id: randomUUID() })
      if (awaiting === undefined) addAccount.run([id, email])
      else stopAwaiting.run([email, id])
      addUser.run([issuer, subject, id])
      return /** @type {StoredRow} */ (find.get([issuer, subject]))
    }).immediate

  return {
    find: ({ issuer, subject }) => query(() => {
      const row = find.get([issuer, subject])
      return row === undefined ? null : accountFrom(/** @type {StoredRow} */ (row))
    }),
    isAwaited: email => query(() => findAwaiting.get([foldEmail(email)]) !== undefined),
    provide: (...args) => query(() => accountFrom(provide(...args))),
    provideMachine: name => query(() => {
      if (findMachine.get([name]) === undefined) addMachine.run([randomUUID(), name])
      return accountFrom(/** @type {StoredRow} */ (findMachine.get([name])))
    }),
    setEmail: (id, email) => query(() => { setEmail.run([email, id]) }),
    claimRoles: (id, seen, now) => query(() => claimRoles.run([now, id, seen]).changes === 1),
    setRoles: (id, claimedAt, roles) => query(() => { setRoles.run([JSON.stringify(roles), id, claimedAt]) }),
    invite: email => query(() => {
      const id = randomUUID()
      return addAwaiting.run([id, email, foldEmail(email)]).changes === 1 ? id : null
    }),
    setDisabled: (id, isDisabled) => query(() => { setDisabled.run([Number(isDisabled), id]) }),
    close: async () => { db.close() }
  }
}

/**
 * @typedef {object} StoredRow
 * @property {string} id
 * @property {string | null} machine
 * @property {string | null} email
 * @property {string | null} roles
 * @property {number | null} roles_checked_at
 * @property {0 | 1} is_disabled
 */

/**
 * @param {StoredRow} row
 * @returns {import('./types.js').StoredAccount}
 */
function accountFrom ({ id, machine, email, roles, roles_checked_at: rolesCheckedAt, is_disabled: isDisabled }) {
  return {
    id,
    kind: machine === null ? 'user' : 'machine',
    email,
    machine,
    roles: roles === null ? null : JSON.parse(roles),
    isDisabled: isDisabled === 1,
    rolesCheckedAt
  }
}
