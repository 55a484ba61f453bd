// For OpenTelemetry: metrics out of the diagnostics channels, and who called on the spans of @fastify/otel.
import { metrics } from '@opentelemetry/api'
import { channels } from 'fastify-cf-access'

/** @returns {() => void} stops measuring */
export function measureAccess () {
  const meter = metrics.getMeter('fastify-cf-access')
  const verifications = meter.createHistogram('cf_access.verification.duration', { unit: 'ms' })
  const refreshes = meter.createCounter('cf_access.key_refreshes')
  const rejections = meter.createCounter('cf_access.rejections')

  /** @param {import('fastify-cf-access').CfAccessVerification} verification */
  const onVerify = ({ duration, outcome, cached, kind }) => verifications.record(duration, {
    outcome,
    cached,
    kind: kind ?? 'none'
  })
  /** @param {import('fastify-cf-access').CfAccessRefresh} refresh */
  const onRefresh = ({ outcome }) => refreshes.add(1, { outcome })
  /** @param {import('fastify-cf-access').CfAccessRejection} rejection */
  const onRejection = ({ code, reason, rule }) =>
    rejections.add(1, { code, reason: reason ?? 'none', rule: rule ?? 'none' })

  channels.verify.subscribe(onVerify)
  channels.refresh.subscribe(onRefresh)
  channels.rejection.subscribe(onRejection)
  return () => {
    channels.verify.unsubscribe(onVerify)
    channels.refresh.unsubscribe(onRefresh)
    channels.rejection.unsubscribe(onRejection)
  }
}

/**
 * Writes the caller's kind on the request's span. A rejection is there already, as the span's exception.
 *
 * @param {import('fastify').FastifyInstance} app where @fastify/otel and this plugin are registered
 */
export function traceCallers (app) {
  app.addHook('preHandler', async request => {
    if (request.cfAccess !== null) request.opentelemetry().span?.setAttribute('cf_access.kind', request.cfAccess.kind)
  })
}
