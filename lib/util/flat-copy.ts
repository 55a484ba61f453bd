/** Copies text, so that it shares no memory with the text it was sliced from. */

/**
 * V8 keeps the whole parent of a slice in memory: a token sliced from a Cookie header would keep all 16 KB of it.
 * @param text of ASCII characters only, as a token is
 */
export function flatCopy (text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1')
}
