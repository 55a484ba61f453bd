/** Keys that outlive a restart, in a file for their owner alone. */
import { createPrivateKey, type JsonWebKey } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { OptionsInvalidError } from '../errors.js'
import { KeyPair, signingKeyOf, type SigningKey } from '../testing/keys.js'

/**
 * The keys in the file, which is made where there is none.
 * @throws {OptionsInvalidError} when it cannot be read or written, or holds anything else
 */
export async function loadKeys (file: string): Promise<KeyPair> {
  const text = await readText(file)
  if (text !== null) return parse(text, file)
  const keys = await KeyPair.create()
  await saveKeys(file, keys)
  return keys
}

/** @throws {OptionsInvalidError} when the file cannot be written */
export async function saveKeys (file: string, { both }: KeyPair): Promise<void> {
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

function parse (text: string, file: string): KeyPair {
  try {
    const [current, previous] = (JSON.parse(text) as { keys: [JsonWebKey, JsonWebKey] }).keys
    return new KeyPair(readKey(current), readKey(previous))
  } catch {
    throw new OptionsInvalidError(`Option "keys" names ${file}, which does not hold keys of this stand-in; delete it, and new ones are made.`)
  }
}

function readKey (key: JsonWebKey): SigningKey {
  return signingKeyOf(createPrivateKey({ key, format: 'jwk' }))
}
