import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { inRoot } from './root.mjs'

const FILE = '.build/setup.pid'

/** Runs `body` while no other process of this checkout does: two builds at once would tear each other's files. */
export async function alone(body) {
  mkdirSync(inRoot('.build'), { recursive: true })
  for (let told = false; !take(); told = true) {
    if (!told) console.log('setup: waiting for another setup in this folder')
    await sleep(200)
  }
  try {
    return await body()
  } finally {
    rmSync(inRoot(FILE), { force: true })
  }
}

function take() {
  try {
    writeFileSync(inRoot(FILE), String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if (error.code !== 'EEXIST') throw error
    if (!ownerLives()) rmSync(inRoot(FILE), { force: true })
    return false
  }
}

function ownerLives() {
  try {
    process.kill(Number(readFileSync(inRoot(FILE), 'utf8')) || process.pid, 0)
    return true
  } catch (error) {
    // Gone between the two calls, or a process that is no more: either way take it again.
    return error.code === 'EPERM'
  }
}
