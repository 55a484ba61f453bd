/** Signing keys that outlive a restart, in a file that only its owner can read. */
import { createPrivateKey, type JsonWebKey } from 'node:crypto'
import { readFile, rename, stat, writeFile } from 'node:fs/promises'
import { OptionsInvalidError } from '../errors.js'
import { SigningKeys, signingKeyOf, type SigningKey } from '../testing/keys.js'

/**
 * The keys in the file, which is created if it does not exist.
 * @throws {OptionsInvalidError} when it cannot be read or written, can be read by other users, or does not contain keys
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
export async function saveKeys (file: string, { current, previous }: SigningKeys): Promise<void> {
  const text =
    JSON.stringify({ keys: [current, previous].map(({ privateKey }) => privateKey.export({ format: 'jwk' })) }, null, 2)
  // Written to a draft and renamed, so that no reader sees half a file.
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

/**
 * With these keys anyone can sign in as any user, so only their owner can be allowed to read them, as with SSH keys.
 */
async function rejectSharedFile (file: string): Promise<void> {
  const permissions = (await stat(file)).mode & 0o777
  // Windows has no such permissions, and Node.js reports made-up ones.
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
    throw new OptionsInvalidError(
      `Option "keys" names ${file}, which does not contain keys of this emulator; delete it to get new ones.`)
  }
}

function readKey (key: JsonWebKey): SigningKey {
  return signingKeyOf(createPrivateKey({ key, format: 'jwk' }))
}
