import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder of the repository, both from `benchmark/` and from its compiled copy in `.build/benchmark/`. */
export const root: string = findRoot(dirname(fileURLToPath(import.meta.url)))

function findRoot(folder: string): string {
  return existsSync(join(folder, 'Cargo.toml')) ? folder : findRoot(dirname(folder))
}
