/** The curves of scale: `npm run bench -- --scale`. What daffi costs when there is more of something. */
import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { lineChart } from './line-chart.js'
import type { ScaleOptions } from './options.js'
import { loadPeer } from './peers/index.js'
import { Progress } from './progress.js'
import { writeChart, writePart } from './results-file.js'
import { root } from './root.js'
import type { Curve, Point, Sample, Series } from './scale/curve.js'
import { seriesName } from './scale/curve.js'
import { scaleReport } from './scale/report.js'
import { Samples } from './scale/samples.js'
import { judge, type Verdict } from './scale/verdict.js'

const linesFile = join(root, 'benchmark', 'scale.jsonl')
/** Seconds of a point before the first is known. */
const EXPECTED_SECONDS = 1.5
/** Rounds at most in which the points of a bend are taken again. */
const MORE_ROUNDS = 4

/** One sample to come. */
interface Step {
  round: number
  curve: Curve
  point: Point
  series: Series
}

/** Measures the curves, judges and reports them; resolves to the exit code. */
export async function runScale(options: ScaleOptions, command: string): Promise<number> {
  const leftOut = await prepare(options.curves)
  const curves = options.curves.map((curve) => possible(curve, options, leftOut))
  writeFileSync(linesFile, '')
  const samples = new Samples()
  const judgeAll = () => curves.flatMap((curve) => judge(curve, samples))
  await takeAll(Array.from({ length: options.rounds }, (_, i) => steps(curves, i + 1)).flat(), samples)
  let verdicts = judgeAll()
  for (let round = options.rounds + 1; round <= options.rounds + MORE_ROUNDS; round++) {
    const again = stepsAgain(verdicts, round)
    if (again.length === 0) break
    await takeAll(again, samples)
    verdicts = judgeAll()
  }
  const text = scaleReport({ command, ...options, curves, leftOut, samples, verdicts })
  process.stderr.write(`\n${text}\n`)
  if (options.whole) {
    writeChart('scale.svg', lineChart(curves, samples))
    writePart('scale', text)
  }
  return samples.failed.length === 0 && verdicts.every((verdict) => verdict.holds) ? 0 : 1
}

/** What is left out, with the reason: contestants that cannot take part, and points that this machine has no room for. */
async function prepare(curves: readonly Curve[]): Promise<Map<string, string>> {
  const leftOut = new Map<string, string>()
  for (const name of new Set(curves.flatMap((curve) => curve.series.map(({ peer }) => peer)))) {
    const reason = await (await loadPeer(name)).prepare()
    if (reason !== null) leftOut.set(name, reason)
  }
  for (const curve of curves) {
    for (const point of curve.points) {
      const reason = curve.lacks?.(point) ?? null
      if (reason !== null) leftOut.set(`${curve.name} ${point.label}`, reason)
    }
  }
  for (const [name, reason] of leftOut) process.stderr.write(`${name} is left out: ${reason}\n`)
  return leftOut
}

function possible(curve: Curve, { transports }: ScaleOptions, leftOut: ReadonlyMap<string, string>): Curve {
  return {
    ...curve,
    points: curve.points.filter(({ label }) => !leftOut.has(`${curve.name} ${label}`)),
    series: curve.series.filter(({ peer, transport }) => !leftOut.has(peer) && transports.includes(transport)),
  }
}

/** Every point of every curve once: those of one curve one after the other, so that they meet the same machine. */
function steps(curves: readonly Curve[], round: number): Step[] {
  return curves.flatMap((curve) =>
    curve.points.flatMap((point) =>
      curve.series
        .filter(({ fromUnits = 0 }) => point.units >= fromUnits)
        .map((series) => ({ round, curve, point, series })),
    ),
  )
}

/** Once more both points of each bend: the noise of a few rounds goes away with more of them, and a bend stays. */
function stepsAgain(verdicts: readonly Verdict[], round: number): Step[] {
  const bent = verdicts.filter(({ holds }) => !holds)
  const again = bent.flatMap(({ curve, series, worst }) =>
    worst === null ? [] : [worst.from, worst.to].map((point) => ({ round, curve, point, series })),
  )
  return again.filter(
    (step, i) => i === again.findIndex((other) => other.point === step.point && other.series === step.series),
  )
}

async function takeAll(plan: readonly Step[], samples: Samples): Promise<void> {
  const progress = new Progress(plan.length, EXPECTED_SECONDS)
  for (const step of plan) {
    progress.begin([`round ${step.round}`, step.curve.name, step.point.label, seriesName(step.series)])
    const sample = await take(step)
    samples.add(sample)
    progress.end()
    print(sample)
  }
}

async function take({ round, curve, point, series }: Step): Promise<Sample> {
  const { peer, transport } = series
  const sample = { curve: curve.name, point: point.label, units: point.units, peer, transport, round }
  try {
    return { ...sample, figures: await curve.measure(point, series), error: null }
  } catch (error) {
    return { ...sample, figures: {}, error: error instanceof Error ? error.message : String(error) }
  }
}

function print({ figures, ...what }: Sample): void {
  const line = `${JSON.stringify({ ...what, ...figures })}\n`
  process.stdout.write(line)
  appendFileSync(linesFile, line)
}
