/** Finds the known name that a misspelled one probably means. */

// What other libraries, and the token itself, call an option.
const OTHER_NAMES = new Map([
  ['aud', 'audience'], ['team', 'teamDomain'], ['domain', 'teamDomain'], ['issuer', 'teamDomain'], ['iss', 'teamDomain'],
  ['expires', 'expiresIn'], ['exp', 'expiresIn']
])

/** @returns `null` when no known name is near: more than two edits, or a third of the name, away */
export function nearestName (name: string, known: readonly string[]): string | null {
  const other = OTHER_NAMES.get(name)
  if (other !== undefined && known.includes(other)) return other
  const [nearest] = known
    .map(candidate => ({ candidate, distance: editDistance(name.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)
  return nearest !== undefined && nearest.distance <= Math.max(2, name.length / 3) ? nearest.candidate : null
}

/** Levenshtein distance: the insertions, deletions and substitutions that turn one word into the other. */
function editDistance (from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, j) => j)
  for (const [i, letter] of [...from].entries()) {
    const next = [i + 1]
    for (let j = 1; j <= to.length; j++) {
      next[j] = Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (letter === to[j - 1] ? 0 : 1))
    }
    row = next
  }
  return row[to.length]!
}
