// The targets that cost the most CPU, as `npm run fuzz -- expensive` found them, and a plain one to compare with.

export const PLAIN = '/users/42/orders/2024'

/** @type {readonly string[]} */
export const EXPENSIVE = []
