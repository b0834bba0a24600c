/** Horizontal bars as SVG, drawn by hand: readable on light and dark ground, with the reader's own font. */

export interface Bar {
  readonly name: string
  /** Milliseconds. */
  readonly value: number
  /** Written after the bar. */
  readonly label: string
  readonly ours: boolean
}

export interface Section {
  readonly title: string
  readonly bars: readonly Bar[]
}

const WIDTH = 880
const NAMES = 230
const LABELS = 210
const BAR = 16
const STEP = 22
const HEAD = 30
const GAP = 16
const TOP = 58
/** From this ratio on the shorter bar could not be seen. */
const LOG_FROM = 30

const STYLE = `
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.large { font-size: 17px; font-weight: 600 }
.small { font-size: 12px; fill: #57606a }
.name { text-anchor: end }
.peer { fill: #8c959f }
.ours { fill: #1a7f37 }
.axis { stroke: #8c959f; stroke-width: 1 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .small { fill: #9198a1 }
  .peer { fill: #6e7681 }
  .ours { fill: #3fb950 }
}`

/** One chart: each section has a scale of its own. */
export function drawChart(title: string, subtitle: string, sections: readonly Section[]): string {
  let y = TOP
  const parts = sections.map((section) => {
    const drawn = drawSection(section, y)
    y += HEAD + section.bars.length * STEP + GAP
    return drawn
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" width="${WIDTH}" height="${y}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}\n</style>`,
    text(16, 26, title, 'large'),
    text(16, 46, subtitle, 'small'),
    ...parts,
    '</svg>\n',
  ].join('\n')
}

function drawSection({ title, bars }: Section, top: number): string {
  const values = bars.map(({ value }) => value)
  const [least, most] = [Math.min(...values), Math.max(...values)]
  const logarithmic = most / least > LOG_FROM
  const room = WIDTH - NAMES - LABELS
  // On a logarithmic scale a bar begins at a third of the shortest one, so that none is empty.
  const from = least / 3
  const length = (value: number) =>
    room * (logarithmic ? Math.log(value / from) / Math.log(most / from) : value / most)
  const first = top + HEAD
  const rows = bars.map(({ name, value, label, ours }, index) => {
    const y = first + index * STEP
    const width = Math.max(1, length(value)).toFixed(1)
    return [
      text(NAMES - 10, y + 12, name, 'name'),
      `<rect x="${NAMES}" y="${y}" width="${width}" height="${BAR}" rx="2" class="${ours ? 'ours' : 'peer'}"/>`,
      text(NAMES + length(value) + 8, y + 12, label),
    ].join('\n')
  })
  const bottom = first + bars.length * STEP
  return [
    text(16, top + 18, logarithmic ? `${title} (logarithmic scale)` : title, 'title'),
    ...rows,
    `<line x1="${NAMES}" y1="${first - 4}" x2="${NAMES}" y2="${bottom - 2}" class="axis"/>`,
  ].join('\n')
}

function text(x: number, y: number, content: string, style = 'plain'): string {
  return `<text x="${x.toFixed(1)}" y="${y}" class="${style}">${escaped(content)}</text>`
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
