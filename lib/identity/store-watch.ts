/** Looks for sessions that a callback waits for in a store that processes share. No request has to come for it. */
import { TokenInvalidError } from '../errors.js'
import { LOOK_EVERY } from './shared-store.js'

/** How many looks run at once: all at once would not be answered within the deadline of the store. */
const MAX_LOOKS = 32

interface Watched {
  readonly look: () => Promise<void>
  readonly callbacks: Set<() => void>
}

/** One timer for all sessions of a verifier, which waits for a slow store and keeps no process alive. */
export class StoreWatch {
  /** By token: several connections can have the same one. */
  readonly #watched = new Map<string, Watched>()
  #isRunning = false

  /**
   * Looks once a second.
   * @param look throws {@link TokenInvalidError} when the session has ended, upon which `callback` is called
   * @returns a function that cancels the callback, to be called once
   */
  add (token: string, look: () => Promise<void>, callback: () => void): () => void {
    const watched = this.#watched.get(token) ?? { look, callbacks: new Set() }
    watched.callbacks.add(callback)
    this.#watched.set(token, watched)
    this.#run()
    return () => {
      watched.callbacks.delete(callback)
      if (watched.callbacks.size === 0) this.#watched.delete(token)
    }
  }

  #run (): void {
    if (this.#isRunning || this.#watched.size === 0) return
    this.#isRunning = true
    const runAgain = (): void => {
      this.#isRunning = false
      this.#run()
    }
    setTimeout(() => this.#lookForAll().finally(runAgain), LOOK_EVERY).unref()
  }

  async #lookForAll (): Promise<void> {
    const queue = [...this.#watched.values()].values()
    await Promise.all(Array.from({ length: MAX_LOOKS }, async () => {
      for (const watched of queue) await lookFor(watched)
    }))
  }
}

async function lookFor ({ look, callbacks }: Watched): Promise<void> {
  try {
    await look()
  } catch (error) {
    if (!(error instanceof TokenInvalidError)) throw error
    for (const callback of [...callbacks]) callback()
  }
}
