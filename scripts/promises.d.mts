export interface Row {
  readonly id: string
  readonly what: string
  readonly promise: string
  readonly asked: string
  readonly tier: string
  readonly byHand?: string
  readonly reached?: string
}

export const COMMANDS: Readonly<Record<string, string>>
export const SECTIONS: Readonly<Record<string, { readonly title: string; readonly what: string }>>
export const promises: readonly Row[]
