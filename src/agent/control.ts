/**
 * What an administrator asks the agent, by HTTP on its socket: `/status` as JSON and `/metrics` for Prometheus.
 *
 *   curl --unix-socket /run/nugator/agent.sock http://agent/metrics
 */
import { createServer, type Server } from 'node:http'
import { VERSION } from '../plugin/version.ts'
import { PROTOCOL } from './frame.ts'
import type { LastError, Statistics, VerbSummary } from './statistics.ts'

export interface Status {
  readonly version: string
  readonly protocol: number
  readonly pid: number
  readonly started: string
  /** Seconds. */
  readonly uptime: number
  /** Bytes. */
  readonly rss: number
  readonly inFlight: number
  /** Calls sent back to be done cold. */
  readonly refused: number
  readonly verbs: Readonly<Record<string, VerbSummary>>
  readonly lastErrors: readonly LastError[]
}

/** The server, not listening: connections are handed to it by the event `connection`. */
export function controlServer(statistics: Statistics, inFlight: () => number): Server {
  return createServer({ keepAlive: false }, (request, response) => {
    const answer = pages[request.url ?? '']?.(statusOf(statistics, inFlight()))
    response.setHeader('Connection', 'close')
    response.statusCode = answer === undefined ? 404 : 200
    response.setHeader('Content-Type', answer?.type ?? 'text/plain')
    response.end(answer?.body ?? 'there are /status and /metrics\n')
  })
}

interface Page {
  readonly type: string
  readonly body: string
}

const pages: Readonly<Record<string, (status: Status) => Page>> = {
  '/status': (status) => ({ type: 'application/json', body: `${JSON.stringify(status, null, 2)}\n` }),
  '/metrics': (status) => ({ type: 'text/plain; version=0.0.4; charset=utf-8', body: metrics(status) }),
}

function statusOf(statistics: Statistics, inFlight: number): Status {
  return {
    version: VERSION,
    protocol: PROTOCOL,
    pid: process.pid,
    started: statistics.started.toISOString(),
    uptime: process.uptime(),
    rss: process.memoryUsage.rss(),
    inFlight,
    refused: statistics.refused,
    verbs: Object.fromEntries(statistics.verbs()),
    lastErrors: statistics.errors,
  }
}

/** Prometheus' text format, version 0.0.4; durations in seconds, as its conventions want them. */
function metrics(status: Status): string {
  const verbs = Object.entries(status.verbs)
  const seconds = (microseconds: number) => microseconds / 1e6
  return [
    family('nugator_info', 'gauge', 'Version of the agent.', [`{version="${status.version}"} 1`]),
    family('nugator_uptime_seconds', 'gauge', 'Since the agent was started.', [` ${status.uptime}`]),
    family('nugator_resident_memory_bytes', 'gauge', 'Resident memory.', [` ${status.rss}`]),
    family('nugator_requests_in_flight', 'gauge', 'Calls being worked on.', [` ${status.inFlight}`]),
    family('nugator_requests_refused_total', 'counter', 'Calls sent back to be done cold.', [
      ` ${status.refused}`,
    ]),
    family(
      'nugator_request_errors_total',
      'counter',
      'Calls answered with an error.',
      verbs.map(([verb, { failed }]) => `{verb="${verb}"} ${failed}`),
    ),
    family(
      'nugator_request_duration_seconds',
      'summary',
      'From the arrival of a call to its answer.',
      verbs.flatMap(([verb, { count, sum, p50, p99 }]) => [
        `{verb="${verb}",quantile="0.5"} ${seconds(p50)}`,
        `{verb="${verb}",quantile="0.99"} ${seconds(p99)}`,
        `_sum{verb="${verb}"} ${seconds(sum)}`,
        `_count{verb="${verb}"} ${count}`,
      ]),
    ),
  ].join('')
}

function family(name: string, type: string, help: string, samples: readonly string[]): string {
  const lines = samples.map((sample) => `${name}${sample}\n`).join('')
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines}`
}
