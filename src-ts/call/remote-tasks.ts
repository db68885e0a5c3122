/** The tasks of any node, asked for by its name: `getScheduledTasks()` and `cancelScheduledTaskByUuid()`. */
import { invalidOption, show } from '../errors.js'
import { checkName, checkOptionNames } from '../names.js'
import type { ScheduledTaskInfo } from '../schedule/task-info.js'
import type { CallSource } from './call.js'
import { linkWithin } from './waiting.js'

/** The tasks that a node executes, or those of them that this process owns. */
export async function listTasks(
  source: CallSource,
  remoteProcess: string,
  options: { readonly all?: boolean | undefined },
): Promise<ScheduledTaskInfo[]> {
  const what = 'getScheduledTasks'
  const node = checkName(remoteProcess, `${what}(): the name of the node`)
  checkOptionNames(options, ['all'], `${what}()`)
  const { all = true } = options
  if (typeof all !== 'boolean') throw invalidOption(`\`all\` is ${show(all)}. Give true or false.`)
  const { link, timeoutMs } = await linkWithin(source, what, source.timeoutMs, undefined)
  return await source.tasks.list(link, node, all, timeoutMs)
}

/** Ends a task of a node. False when it was over. */
export async function cancelTask(source: CallSource, remoteProcess: string, uuid: string): Promise<boolean> {
  const what = 'cancelScheduledTaskByUuid'
  const node = checkName(remoteProcess, `${what}(): the name of the node`)
  if (typeof uuid !== 'string') throw invalidOption(`\`uuid\` is ${show(uuid)}. Give the \`uuid\` of a task.`)
  const { link, timeoutMs } = await linkWithin(source, what, source.timeoutMs, undefined)
  return await source.tasks.cancelByUuid(link, node, uuid, timeoutMs)
}
