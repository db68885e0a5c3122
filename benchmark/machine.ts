import { cpus, release } from 'node:os'

/** The line that says where, when and with which command figures were measured. */
export function machineLine(command: string, rounds: number): string {
  const cores = cpus()
  const day = new Date().toISOString().slice(0, 10)
  return (
    `Measured on ${day}: ${cores.length} cores (${cores[0]?.model.trim() ?? 'unknown'}), Linux ${release()}, ` +
    `Node ${process.versions.node}; ${rounds} round${rounds === 1 ? '' : 's'} of \`${command}\`.`
  )
}
