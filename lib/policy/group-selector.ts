/** The selector `group`: a user's groups at the identity provider. */
import type { CfAccessGroup } from '../identity/details.js'
import { isObject } from '../util/is-object.js'
import { TextSet } from './comparable.js'
import { askingUsers, EMAIL, isText, matchAny, readList, TEXT, type Matcher } from './matcher.js'

const GROUP_MEMBERS = ['id', 'name', 'email'] as const
type GroupMember = typeof GROUP_MEMBERS[number]

/** What a rule compares with each member of a group. */
type GroupValues = Readonly<Record<GroupMember, TextSet>>

interface GroupValue {
  readonly text: string
  readonly members: readonly GroupMember[]
  /** Whether the rule names the member that it means. */
  readonly isExplicit: boolean
}

// A UUID, or the opaque ID of a provider such as Okta: 20 or more letters and digits of both kinds.
const GROUP_ID = /^(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=.*[0-9])(?=.*[a-z])[0-9a-z]{20,})$/i

export function compileGroups (value: unknown): Matcher | null {
  const groups = readList(value, readGroup)
  if (groups === null) return null
  // A user who can name a group must not get into another group, or out of an exclusion, by naming it like that one's
  // ID.
  const similar = groups.filter(({ isExplicit }) => !isExplicit).map(({ text }) => text)
  const among = (member: GroupMember): TextSet =>
    new TextSet(groups.filter(({ members }) => members.includes(member)).map(({ text }) => text), similar)
  const values: GroupValues = { id: among('id'), name: among('name'), email: among('email') }
  return askingUsers(({ groups }) => groups && matchAny(groups.map(group => matchGroup(group, values))))
}

function readGroup (value: unknown): GroupValue | null {
  if (typeof value === 'string') {
    return isText(value, TEXT) ? { text: value, members: membersOf(value), isExplicit: false } : null
  }
  if (!isObject(value)) return null
  const [[name, text] = [], ...others] = Object.entries(value)
  const member = GROUP_MEMBERS.find(known => known === name)
  if (member === undefined || others.length > 0 || !isText(text, member === 'email' ? EMAIL : TEXT)) return null
  return { text, members: [member], isExplicit: true }
}

function membersOf (text: string): readonly GroupMember[] {
  if (text.includes('@')) return ['email']
  return GROUP_ID.test(text) ? ['id'] : ['id', 'name']
}

function matchGroup (group: CfAccessGroup, values: GroupValues): boolean | undefined {
  return matchAny(GROUP_MEMBERS.map(member => group[member] !== undefined && values[member].has(group[member])))
}
