/** Bounds how many tasks run at once. */

/** Runs tasks in order, never more at once than `limit()` allows at that moment. */
export class TaskQueue {
  readonly #limit: () => number
  readonly #waiting: Array<() => void> = []
  #running = 0

  constructor (limit: () => number) {
    this.#limit = limit
  }

  async run<Result> (task: () => Promise<Result>): Promise<Result> {
    await new Promise<void>(resolve => {
      this.#waiting.push(resolve)
      this.#startNext()
    })
    try {
      return await task()
    } finally {
      this.#running--
      this.#startNext()
    }
  }

  #startNext (): void {
    while (this.#waiting.length > 0 && this.#running < this.#limit()) {
      this.#running++
      this.#waiting.shift()!()
    }
  }
}
