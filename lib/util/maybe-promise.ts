/** A value, or a promise of it where something has to be fetched first. */

export type MaybePromise<Value> = Value | Promise<Value>

/**
 * Applies `next` to a value at once, and to the result of a promise later. A value that is at hand costs no turn of
 * the event loop. Only this module looks at promises.
 */
export function andThen<Value, Result> (
  value: MaybePromise<Value>, next: (value: Value) => MaybePromise<Result>
): MaybePromise<Result> {
  return value instanceof Promise ? value.then(next) : next(value)
}

/**
 * As {@link andThen}, for a step that can fail: `fail` gets what it throws, or what its promise rejects with, but not
 * what `next` throws.
 */
export function attempt<Value, Result> (
  step: () => MaybePromise<Value>,
  next: (value: Value) => MaybePromise<Result>,
  fail: (error: unknown) => MaybePromise<Result>
): MaybePromise<Result> {
  let value: MaybePromise<Value>
  try {
    value = step()
  } catch (error) {
    return fail(error)
  }
  return value instanceof Promise ? value.then(next, fail) : next(value)
}
