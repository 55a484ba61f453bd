// The types of the recipe, and of `request.account` in the whole application.
import type { CfAccessGroup } from 'fastify-cf-access'

declare module 'fastify' {
  interface FastifyRequest {
    /** The account of the identity in `cfAccess`; `null` where that is `null`. */
    account: Account | null
  }
}

/** What handlers work with. Your other tables refer to `id`. */
export interface Account {
  readonly id: string
  readonly kind: 'user' | 'machine'
  /** To show or to write to. It never finds an account: an address can get another owner. */
  readonly email: string | null
  /** The name in which a machine was declared. */
  readonly machine: string | null
  readonly roles: readonly string[]
}

/** An account as a store has it. */
export interface StoredAccount extends Omit<Account, 'roles'> {
  /** `null` before the first refresh. */
  readonly roles: readonly string[] | null
  readonly isDisabled: boolean
  /** When its roles were last claimed for a refresh, in milliseconds since the Unix epoch. */
  readonly rolesCheckedAt: number | null
}

/** Names one user for good: Cloudflare's ID of the user, which is unique within the team that issued the token. */
export interface UserKey {
  readonly issuer: string
  readonly subject: string
}

/** Each method rejects with `AccountsUnavailableError` when the database fails. */
export interface AccountStore {
  /** The account of a user. */
  find (key: UserKey): Promise<StoredAccount | null>
  /** Whether an account waits for a user with this address. */
  isAwaited (email: string): Promise<boolean>
  /**
   * Links a user to the account that waits for the address, or else makes an account. Of several calls at once for one
   * user the first decides, and all get the same account.
   * @param isVerified `false`: makes an account, whether or not another one waits
   */
  provide (key: UserKey, email: string, isVerified: boolean): Promise<StoredAccount>
  /** The account of a machine, which is made at the first call. */
  provideMachine (name: string): Promise<StoredAccount>
  setEmail (id: string, email: string): Promise<void>
  /**
   * Takes the next refresh of the roles, unless another request or process has taken it.
   * @param seen the `rolesCheckedAt` of the account that the caller has read
   */
  claimRoles (id: string, seen: number | null, now: number): Promise<boolean>
  /** Stores the roles, unless a later refresh was claimed since. */
  setRoles (id: string, claimedAt: number, roles: readonly string[]): Promise<void>
  /**
   * Makes an account that waits for a user with this address.
   * @returns its ID, or `null` when another account waits for that address
   */
  invite (email: string): Promise<string | null>
  setDisabled (id: string, isDisabled: boolean): Promise<void>
  close (): Promise<void>
}

/** The account of a service or a certificate. Several can share one, so that a service token can be replaced. */
export interface Machine {
  readonly account: string
  readonly roles?: readonly string[]
}

export interface AccountsOptions {
  readonly store: AccountStore
  /** By client ID. A service that is not among them gets 403. Default: none. */
  readonly services?: Readonly<Record<string, Machine>>
  /** By common name. A certificate that is not among them gets 403. Default: none. */
  readonly certificates?: Readonly<Record<string, Machine>>
  /**
   * The identity providers, by ID or kind, that vouch for the addresses of their users. Users of other ones are never
   * linked to an account that exists. Default: none.
   */
  readonly verifiedBy?: readonly string[]
  /** The roles of a user in these groups. Default: none, and `details()` is not called for them. */
  readonly rolesOf?: (groups: readonly CfAccessGroup[]) => readonly string[]
  /** Milliseconds between two refreshes of an account's roles. Default: five minutes. */
  readonly rolesMaxAge?: number
}
