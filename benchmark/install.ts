/** Packages of contestants that the repository does not depend on: fetched when somebody asks for them. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { root } from './root.js'

const folders = join(root, '.build', 'peers')
/** A registry that does not answer must not hold up the other contestants. */
const INSTALL_MS = 180_000
const LOAD_MS = 20_000

/** A package at one exact version, and what it needs beside it. */
export interface Package {
  name: string
  version: string
  /** Further packages by name, each at its exact version. */
  beside?: Readonly<Record<string, string>>
}

/**
 * Installs a package into `.build/peers/`, unless it is there, and loads it for a trial. Scripts of packages are not run.
 *
 * Resolves to the reason when one of them fails.
 */
export async function install(one: Package): Promise<string | null> {
  return (existsSync(folderOf(one)) ? null : fetchPackage(one)) ?? tryLoad(one)
}

/** Loads an installed package. `Shape` is what the caller uses of it: its own types are not there. */
export function load<Shape>(one: Package): Shape {
  return createRequire(join(folderOf(one), 'package.json'))(one.name) as Shape
}

function folderOf({ name, version }: Package): string {
  return join(folders, `${name.replace(/^@/, '').replace('/', '-')}-${version}`)
}

function fetchPackage({ name, version, beside = {} }: Package): string | null {
  const folder = folderOf({ name, version })
  process.stderr.write(`fetching ${name} ${version} (npm install --prefix .build/peers/) …\n`)
  // Beside its place until it is whole, so that an interrupted installation is not taken for one.
  const unfinished = `${folder}.${process.pid}`
  try {
    mkdirSync(unfinished, { recursive: true })
    const manifest = { private: true, dependencies: { [name]: version, ...beside } }
    writeFileSync(join(unfinished, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
    const reason = runNpm(unfinished)
    if (reason !== null) return `npm could not install ${name} ${version}: ${reason}`
    renameSync(unfinished, folder)
    return null
  } catch (error) {
    // Another run may have been quicker.
    return existsSync(folder) ? null : `${name} ${version} could not be installed: ${String(error)}`
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
}

/** Why npm failed, or `null`. */
function runNpm(folder: string): string | null {
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const npm = spawnSync('npm', ['install', '--prefix', folder, ...flags], {
    cwd: folder,
    encoding: 'utf8',
    timeout: INSTALL_MS,
  })
  if (npm.status === 0) return null
  // The first of npm's lines are fields of the error, one a line; the last ones name its log.
  const told = /^npm error (?!code |syscall |errno |path )(.+)$/m.exec(npm.stderr ?? '')?.[1]
  return npm.error?.message ?? told ?? `it ended with ${npm.signal ?? `code ${npm.status}`}`
}

/** In a process of its own: a native library that does not suit this machine may take its process with it. */
function tryLoad(one: Package): string | null {
  const args = ['--eval', `require(${JSON.stringify(one.name)}); process.exit(0)`]
  const trial = spawnSync(process.execPath, args, { cwd: folderOf(one), encoding: 'utf8', timeout: LOAD_MS })
  if (trial.status === 0) return null
  const told = /^\w*Error: .+$/m.exec(trial.stderr ?? '')?.[0]
  return `${one.name} ${one.version} cannot be loaded: ${told ?? `the trial ended with ${trial.signal ?? `code ${trial.status}`}`}`
}
