/**
 * What both charts are drawn with: a page, text, axes. Plain SVG, and the same figures always give the same bytes.
 *
 * A page brings its own background, since the page around it may be light or dark whatever the reader's system says.
 */

/** Where values lie between two places of the picture. */
export interface Axis {
  at: (value: number) => number
  /** Values that get a line and a label. */
  ticks: readonly number[]
  logarithmic: boolean
}

/** A box of a chart, with the room that it takes; drawn with its upper left corner at 0, 0. */
export interface Panel {
  height: number
  body: string
}

export const PANEL_WIDTH = 450
const GAP = 28
const MARGIN = 20
const COLUMNS = 2
const HEAD_HEIGHT = 58

const STYLE = `
text{font:11px system-ui,-apple-system,Helvetica,Arial,sans-serif;fill:#1f2328}
.h{font-size:17px;font-weight:600}.t{font-size:13px;font-weight:600}.e{text-anchor:end}.m{text-anchor:middle}
.s{fill:#59636e;font-size:10px}.page{fill:#fff;stroke:#d0d7de}.g{stroke:#d8dee4;fill:none}
.w{stroke:#1f2328;fill:none}.daffi{fill:#0969da}.embedded{fill:#6cb2ff}.limit{fill:#8dc891}.rival{fill:#b8bfc7}
.l{fill:none;stroke-width:2}.l0{stroke:#0969da}.l1{stroke:#1a7f37}.l2{stroke:#bc4c00}.l3{stroke:#8250df}
.d0{fill:#0969da}.d1{fill:#1a7f37}.d2{fill:#bc4c00}.d3{fill:#8250df}
.l1{stroke-dasharray:7 3}.l2{stroke-dasharray:2 3}.l3{stroke-dasharray:8 3 2 3}
@media(prefers-color-scheme:dark){
text{fill:#e6edf3}.s{fill:#9198a1}.page{fill:#0d1117;stroke:#3d444d}.g{stroke:#2f353d}
.w{stroke:#e6edf3}.daffi{fill:#388bfd}.embedded{fill:#1f5aa8}.limit{fill:#2f7a3a}.rival{fill:#5a626c}
.l0{stroke:#4493f8}.l1{stroke:#3fb950}.l2{stroke:#f0883e}.l3{stroke:#ab7df8}
.d0{fill:#4493f8}.d1{fill:#3fb950}.d2{fill:#f0883e}.d3{fill:#ab7df8}
}`

/** A whole chart: a title, a line below it, and panels in two columns. */
export function page(title: string, subtitle: string, panels: readonly Panel[]): string {
  const width = 2 * MARGIN + COLUMNS * PANEL_WIDTH + GAP
  const drawn: string[] = []
  let top = MARGIN + HEAD_HEIGHT
  for (let i = 0; i < panels.length; i += COLUMNS) {
    const row = panels.slice(i, i + COLUMNS)
    for (const [column, panel] of row.entries()) {
      drawn.push(`<g transform="translate(${MARGIN + column * (PANEL_WIDTH + GAP)} ${top})">${panel.body}</g>`)
    }
    top += Math.max(...row.map((panel) => panel.height)) + GAP
  }
  const height = top - GAP + MARGIN
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escaped(title)}</title><desc>${escaped(subtitle)}</desc><style>${STYLE}</style>`,
    `<rect class="page" x=".5" y=".5" width="${width - 1}" height="${height - 1}" rx="6"/>`,
    text(title, MARGIN, MARGIN + 16, 'h'),
    text(subtitle, MARGIN, MARGIN + 36, 's'),
    ...drawn,
    '</svg>\n',
  ].join('\n')
}

export function text(words: string, x: number, y: number, classes = ''): string {
  const kind = classes === '' ? '' : ` class="${classes}"`
  return `<text${kind} x="${place(x)}" y="${place(y)}">${escaped(words)}</text>`
}

/** A coordinate: a tenth of a pixel is enough. */
export function place(value: number): string {
  return String(Math.round(value * 10) / 10)
}

/** From 0 up to `max`. */
export function linearAxis(max: number, from: number, to: number): Axis {
  const step = roundStep(max / 5)
  const ticks = Array.from({ length: Math.floor(max / step) + 1 }, (_, i) => i * step)
  return { at: (value) => from + (value / max) * (to - from), ticks, logarithmic: false }
}

/** From `min` up to `max` by powers; ticks at the decades, and at 2 and 5 between when there are few. */
export function logAxis(min: number, max: number, from: number, to: number): Axis {
  const [low, high] = [Math.log10(min), Math.log10(max)]
  const at = (value: number): number => from + ((Math.log10(value) - low) / (high - low)) * (to - from)
  const steps = high - low > 2.5 ? [1] : [1, 2, 5]
  const ticks: number[] = []
  for (let power = Math.floor(low); power <= high; power++) {
    for (const step of steps) {
      const tick = step * 10 ** power
      if (tick >= min * 0.999 && tick <= max * 1.001) ticks.push(tick)
    }
  }
  return { at, ticks, logarithmic: true }
}

/** The next of 1, 2 and 5 times a power of ten from `value` on. */
function roundStep(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return ([1, 2, 5].find((step) => step * power >= value) ?? 10) * power
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
