/** Name of this machine's platform as napi-rs writes it: `linux-x64-gnu`, `darwin-arm64`. */
export const platform: string
/** File name of the compiled core for this machine. */
export const addonName: string
