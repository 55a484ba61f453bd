/** Keys that outlive a restart, in a file for their owner alone. */
import { createPrivateKey, type JsonWebKey } from 'node:crypto'
import { readFile, rename, stat, writeFile } from 'node:fs/promises'
import { OptionsInvalidError } from '../errors.js'
import { SigningKeys, signingKeyOf, type SigningKey } from '../testing/keys.js'

/**
 * The keys in the file, which is made where there is none.
 * @throws {OptionsInvalidError} when it cannot be read or written, can be read by other users, or holds anything else
 */
export async function loadKeys (file: string): Promise<SigningKeys> {
  const text = await readText(file)
  if (text !== null) {
    await rejectSharedFile(file)
    return parse(text, file)
  }
  const keys = await SigningKeys.create()
  await saveKeys(file, keys)
  return keys
}

/** @throws {OptionsInvalidError} when the file cannot be written */
export async function saveKeys (file: string, { both }: SigningKeys): Promise<void> {
  const text = JSON.stringify({ keys: both.map(({ privateKey }) => privateKey.export({ format: 'jwk' })) }, null, 2)
  // Whole or not at all, for whoever reads it meanwhile.
  const draft = `${file}.${process.pid}`
  try {
    await writeFile(draft, `${text}\n`, { mode: 0o600, flag: 'wx' })
    await rename(draft, file)
  } catch (error) {
    throw new OptionsInvalidError(`Option "keys" names ${file}, which cannot be written: ${(error as Error).message}.`)
  }
}

async function readText (file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new OptionsInvalidError(`Option "keys" names ${file}, which cannot be read: ${(error as Error).message}.`)
  }
}

/** With these keys anyone can sign in as any user, so only their owner can be allowed to read them, as with SSH's. */
async function rejectSharedFile (file: string): Promise<void> {
  const permissions = (await stat(file)).mode & 0o777
  // Windows has no such permissions, and Node.js makes some up.
  if (process.platform === 'win32' || (permissions & 0o077) === 0) return
  const mode = permissions.toString(8)
  throw new OptionsInvalidError(
    `Option "keys" names ${file}, which is open to other users (mode ${mode}); run: chmod 600 ${file}`)
}

function parse (text: string, file: string): SigningKeys {
  try {
    const [current, previous] = (JSON.parse(text) as { keys: [JsonWebKey, JsonWebKey] }).keys
    return new SigningKeys(readKey(current), readKey(previous))
  } catch {
    throw new OptionsInvalidError(`Option "keys" names ${file}, which does not hold keys of this emulator; delete it, and new ones are made.`)
  }
}

function readKey (key: JsonWebKey): SigningKey {
  return signingKeyOf(createPrivateKey({ key, format: 'jwk' }))
}
