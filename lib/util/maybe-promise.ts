/** What is there at once most of the time, and a promise where something has to be fetched first. */

export type MaybePromise<Value> = Value | Promise<Value>

/**
 * Applies `next` at once to a value, and later to what a promise brings. It is the only way on: whatever is known
 * already costs no turn of the event loop.
 */
export function andThen<Value, Result> (
  value: MaybePromise<Value>, next: (value: Value) => MaybePromise<Result>
): MaybePromise<Result> {
  return value instanceof Promise ? value.then(next) : next(value)
}

/**
 * As {@link andThen}, for a step that can fail: `fail` gets what it throws, or what its promise rejects with.
 * What `next` itself throws is not for `fail`.
 */
export function attempt<Value, Result> (
  step: () => MaybePromise<Value>, next: (value: Value) => MaybePromise<Result>, fail: (error: unknown) => MaybePromise<Result>
): MaybePromise<Result> {
  let value: MaybePromise<Value>
  try {
    value = step()
  } catch (error) {
    return fail(error)
  }
  return value instanceof Promise ? value.then(next, fail) : next(value)
}
