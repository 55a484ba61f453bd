// Metrics for Prometheus, out of the diagnostics channels.
import { channels } from 'fastify-cf-access'
import { Counter, Histogram } from 'prom-client'

/**
 * @param {import('prom-client').Registry} register with fastify-metrics, `app.metrics.client.register`
 * @returns {() => void} stops measuring
 */
export function measureAccess (register) {
  const registers = [register]
  const verifications = new Histogram({
    name: 'cf_access_verification_seconds',
    help: 'How long it took to verify a token',
    labelNames: ['outcome', 'cached', 'kind'],
    buckets: [0.0001, 0.001, 0.01, 0.1, 1, 5],
    registers
  })
  const refreshes = new Counter({
    name: 'cf_access_key_refreshes_total',
    help: 'How often the keys were asked for',
    labelNames: ['outcome'],
    registers
  })
  const rejections = new Counter({
    name: 'cf_access_rejections_total',
    help: 'Requests rejected',
    labelNames: ['code', 'reason', 'rule'],
    registers
  })

  /** @param {import('fastify-cf-access').CfAccessVerification} verification */
  const onVerify = ({ duration, outcome, cached, kind }) =>
    verifications.observe({ outcome, cached: String(cached), kind: kind ?? 'none' }, duration / 1000)
  /** @param {import('fastify-cf-access').CfAccessRefresh} refresh */
  const onRefresh = ({ outcome }) => refreshes.inc({ outcome })
  /** @param {import('fastify-cf-access').CfAccessRejection} rejection */
  const onRejection = ({ code, reason, rule }) =>
    rejections.inc({ code, reason: reason ?? 'none', rule: rule ?? 'none' })

  channels.verify.subscribe(onVerify)
  channels.refresh.subscribe(onRefresh)
  channels.rejection.subscribe(onRejection)
  return () => {
    channels.verify.unsubscribe(onVerify)
    channels.refresh.unsubscribe(onRefresh)
    channels.rejection.unsubscribe(onRejection)
  }
}
