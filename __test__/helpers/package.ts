import { execFile, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { copyFile, cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { ExecutionContext } from 'ava'
import { addonName, platform } from '../../scripts/platform.mjs'

const execute = promisify(execFile)
const repository: string = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

/** The packed tarballs of the main package and of this machine's platform package, as paths. */
export interface Tarballs {
  readonly main: string
  readonly platform: string
}

/** An empty folder that goes away with the test. Its path is short enough for a UNIX socket inside. */
export async function emptyFolder(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'daffi-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Packs both packages into `folder` as a release would; the platform package gets the addon that was built here. */
export async function pack(folder: string): Promise<Tarballs> {
  const source = join(folder, 'platform')
  await cp(join(repository, 'npm', platform), source, { recursive: true })
  await copyFile(join(repository, 'src-ts/native', addonName), join(source, addonName))
  return { main: await packOne(repository, folder), platform: await packOne(source, folder) }
}

async function packOne(source: string, destination: string): Promise<string> {
  const args = ['pack', '--json', '--ignore-scripts', '--loglevel=error', '--pack-destination', destination]
  const { stdout } = await execute('npm', args, { cwd: source })
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }]
  return join(destination, filename.replace('@', '').replace('/', '-'))
}

/** A folder with nothing but `node` and `npm`, to be the whole path of a machine without compilers. */
export async function pathOfNodeAlone(folder: string): Promise<string> {
  const bin = join(folder, 'bin')
  await mkdir(bin)
  await symlink(process.execPath, join(bin, 'node'))
  const { stdout } = await execute('sh', ['-c', 'command -v npm'])
  await symlink(stdout.trim(), join(bin, 'npm'))
  return bin
}

/**
 * Installs `tarballs` into the empty `folder` without a network, as a user would after the release.
 *
 * The packages of other platforms cannot be fetched: npm has to leave them out by itself.
 */
export async function install(folder: string, tarballs: Tarballs, path: string): Promise<void> {
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'user', private: true, type: 'module' }))
  const args = ['install', '--offline', '--no-audit', '--no-fund', '--loglevel=error', tarballs.main, tarballs.platform]
  await execute('npm', args, { cwd: folder, env: bareEnvironment(folder, path) })
}

/** Names of the packages that `folder` has installed. */
export async function installed(folder: string): Promise<string[]> {
  const names = await readdir(join(folder, 'node_modules'), { recursive: true })
  return names
    .filter((name) => name.endsWith('package.json'))
    .map((name) => dirname(name))
    .toSorted()
}

/** A process of the test: its id, its end, and its lines until now. */
export interface Script {
  readonly pid: number
  readonly lines: readonly string[]
  /** Settles with the exit code, or with null when a signal ended it. */
  readonly ended: Promise<number | null>
}

/** Runs `file` in `folder` as a process of its own, with nothing of this process's surroundings. */
export function start(t: ExecutionContext, folder: string, file: string, path: string): Script {
  const child: ChildProcess = spawn(join(path, 'node'), [file], { cwd: folder, env: bareEnvironment(folder, path) })
  t.teardown(() => child.kill('SIGKILL'))
  const lines: string[] = []
  for (const input of [child.stdout, child.stderr]) {
    if (input) createInterface({ input }).on('line', (line) => lines.push(line))
  }
  const ended = new Promise<number | null>((settle, reject) => {
    child.on('error', reject)
    child.on('close', settle)
  })
  return { pid: child.pid ?? 0, lines, ended }
}

/** A TCP port of this machine that nobody uses at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((settle) => server.listen(0, 'localhost', settle))
  const { port } = server.address() as AddressInfo
  await new Promise((settle) => server.close(settle))
  return port
}

function bareEnvironment(folder: string, path: string): NodeJS.ProcessEnv {
  return { PATH: path, HOME: folder, TMPDIR: folder, npm_config_cache: join(folder, '.npm') }
}
