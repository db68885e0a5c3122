/** Works on what is published. Start as many as you like: each call goes to the one with the least to do. */
import { callback, Global } from 'daffi'

export const countWords = callback(function countWords(line: string) {
  console.log(`counting: ${line}`)
  return line.split(' ').length
})

await new Global().join()
