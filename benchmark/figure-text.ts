/** A figure of a table: whole from 100 on, with a tenth below. */
export function figureText(value: number): string {
  return value.toLocaleString('en', { maximumFractionDigits: Math.abs(value) < 100 ? 1 : 0 })
}

/** A figure in little room, with three digits: `1.34 M`, `410 k`, `60.9`. */
export function shortText(value: number): string {
  for (const [unit, letter] of [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e4, 'k'],
  ] as const) {
    // From the value on that three digits would round up to the unit.
    if (value >= unit * 0.9995) return `${threeDigits(value / (letter === 'k' ? 1000 : unit))} ${letter}`
  }
  return value >= 1000 ? Math.round(value).toLocaleString('en') : threeDigits(value)
}

function threeDigits(value: number): string {
  return value >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)))
}
