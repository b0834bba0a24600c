/** Brings docs/performance.md and docs/performance.svg up to date with a run. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Bar, drawChart, type Section } from './chart.ts'
import { lastRun, type Run, splitText, targetText, valueText } from './report.ts'
import { type Group, isMet, median, ms } from './result.ts'
import { quantile } from './stats.ts'

const DOCS = join(import.meta.dirname, '../docs')
const PAGE = join(DOCS, 'performance.md')
const [BEGIN, END] = ['<!-- the run: written by npm run bench -- --docs -->', '<!-- end of the run -->']

/** What the chart shows, by the titles of groups. */
const CHARTED = [
  'ADD, IPv4, in rows of 10',
  'DEL, IPv4, in rows of 10',
  'ADD, dual stack, each after a rest',
  '100 ADDs by 8 callers, all of them',
  '100 DELs by 8 callers, all of them',
  '100 DELs by 100 callers, all of them',
  'a wire between two containers, an address each, exec to exit',
  'an end moves to its container',
  '1000 links over 200 namespaces, up',
  '1000 links over 200 namespaces, down',
  'ADD with 10000 attachments present',
]

/** Everything between the two marks of the page is the run's; the rest is written by hand. */
export function writeDocs(run: Run = lastRun()): void {
  const page = readFileSync(PAGE, 'utf8')
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)]
  if (from < 0 || to < from) throw new Error(`${PAGE} lacks the marks around what the bench writes`)
  writeFileSync(PAGE, `${page.slice(0, from)}${BEGIN}\n\n${runText(run)}\n\n${page.slice(to)}`)
  writeFileSync(join(DOCS, 'performance.svg'), chartOf(run))
}

function runText(run: Run): string {
  const { machine, scenes, failed } = run
  return [
    `\`${run.command}\` on ${run.at.slice(0, 10)} took ${Math.round(run.took / 60)} minutes on ${machine.cpus} cores of ${machine.cpu}, ` +
      `${machine.memory} GiB, kernel ${machine.kernel}, Node ${machine.node}; load ${machine.load.toFixed(1)} before it began.`,
    claimTable(run),
    ...Object.entries(failed).map(([name, why]) => `Scene \`${name}\` failed: ${why}`),
    '### All times',
    ...Object.values(scenes).map(({ title, groups, notes, splits }) =>
      [
        `**${capital(title)}**\n`,
        ...(groups.length > 0 ? [groupTable(groups)] : []),
        ...notes.map((note) => `- ${note}`),
        ...Object.entries(splits ?? {}).map(([verb, parts]) => `- ${splitText(verb, parts)}`),
      ].join('\n'),
    ),
  ].join('\n\n')
}

function claimTable({ scenes }: Run): string {
  const claims = Object.values(scenes).flatMap(({ claims }) => claims)
  const lines = claims.map((claim) =>
    row([
      claim.what,
      `**${valueText(claim)}**`,
      targetText(claim),
      isMet(claim) ? '✓' : '✗',
      claim.ours,
      claim.theirs,
    ]),
  )
  return [
    row(['', 'measured', 'target', '', 'nugator', 'the other']),
    row(['---', '--:', '--:', '---', '--:', '--:']),
    ...lines,
  ].join('\n')
}

function groupTable(groups: readonly Group[]): string {
  const lines = groups.flatMap(({ title, rows }) =>
    rows.map((each, index) =>
      row([
        index === 0 ? title : '',
        each.name,
        ms(median(each)),
        ms(quantile(each.samples, 0.99)),
        String(each.samples.length),
      ]),
    ),
  )
  return [
    row(['', '', 'median', 'p99', 'samples']),
    row(['---', '---', '--:', '--:', '--:']),
    ...lines,
    '',
  ].join('\n')
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}

function chartOf({ scenes, machine, at }: Run): string {
  const groups = Object.values(scenes).flatMap(({ groups }) => groups)
  const sections = CHARTED.flatMap((title) => groups.filter((group) => group.title === title)).map(section)
  const subtitle = `medians; shorter is better; ${at.slice(0, 10)}, ${machine.cpus} cores, kernel ${machine.kernel}`
  return drawChart('nugator beside others, in one run', subtitle, sections)
}

function section({ title, rows }: Group): Section {
  const base = rows[0] === undefined ? Number.NaN : median(rows[0])
  const bars = rows.map((each, index): Bar => {
    const value = median(each)
    const times = value / base
    const label = index === 0 ? ms(value) : `${ms(value)}, ${times.toFixed(times < 0.1 ? 4 : 2)} ×`
    return { name: each.name.replaceAll('`', ''), value, label, ours: each.name.startsWith('nugator') }
  })
  return { title, bars }
}

function capital(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1)
}
