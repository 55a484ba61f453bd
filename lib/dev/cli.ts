#!/usr/bin/env node
/** The command `fastify-cf-access`. */
import { main } from './main.js'

await main(process.argv.slice(2))
