declare const DAFFI_CODE: string

/** The file of the code, beside those that load it. The build names it after its content. */
export const CODE: string = DAFFI_CODE
