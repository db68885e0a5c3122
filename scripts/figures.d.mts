export interface Figure {
  readonly row: string
  readonly what: string
  readonly measured: number
  readonly unit: string
  readonly asked: string
}

export function figureOf(line: string): Figure | null
export function worse<Type extends Figure>(one: Type, other: Type): Type
