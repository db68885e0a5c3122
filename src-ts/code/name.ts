import { fileURLToPath } from 'node:url'

declare const DAFFI_CODE: string

/** The file of the code, beside those that load it. The build names it after its content. */
export const CODE_FILE: string = fileURLToPath(new URL(DAFFI_CODE, import.meta.url))
