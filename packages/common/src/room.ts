// The stack of JavaScript cannot be asked how much of it is left. A function of WebAssembly can: one that would need much
// of it is refused at once if there is not as much, also where it goes another way. So here is one that never goes the
// way on which it needs 4 kB, and calls itself.

/** How many values the function holds at once, 8 bytes each; below 4 kB of code, pages may wait for it to be compiled. */
const VALUES = 512
/** How many times it calls itself: some 100 kB, where the engine was seen to need 65. */
const DEPTH = 24

/** A number as the binary format has it. */
const leb = (number: number): number[] => (number < 128 ? [number] : [(number & 127) | 128, ...leb(number >>> 7)])

const section = (id: number, content: ReadonlyArray<number>): number[] => [id, ...leb(content.length), ...content]

/** The module: `(import "m" "f" (func))`, a memory, and the function, which is exported as `r`. */
const moduleBytes = (): Uint8Array<ArrayBuffer> => {
  const [I32, END, GET, CALL] = [0x7f, 0x0b, [0x20, 0], 0x10] as const
  const zero = [0x41, 0]
  // The sum of many values, each of which has to be kept over a call, and is not known before.
  const much = [...zero]
  for (let at = 0; at < VALUES; at++) much.push(...zero, 0x29, 3, ...leb(at))
  much.push(CALL, 0, ...Array<number>(VALUES - 1).fill(0x7c), 0x37, 3, 0)
  const ifNegative = [...GET, ...zero, 0x48, 0x04, 0x40]
  const returnIfZero = [...GET, 0x45, 0x04, 0x40, 0x0f, END]
  const callWithOneLess = [...GET, 0x41, 1, 0x6b, CALL, 1]
  const code = [0, ...ifNegative, ...much, END, ...returnIfZero, ...callWithOneLess, END]
  return new Uint8Array([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [2, 0x60, 0, 0, 0x60, 1, I32, 0]),
    ...section(2, [1, 1, 0x6d, 1, 0x66, 0, 0]),
    ...section(3, [1, 1]),
    ...section(5, [1, 0, 1]),
    ...section(7, [1, 1, 0x72, 0, 1]),
    ...section(10, [1, ...leb(code.length), ...code]),
  ])
}

let take: ((depth: number) => void) | undefined

/** Throws what JavaScript throws if less than 100 kB of its stack are left; takes 0.1 to 0.3 µs. */
export const needRoom = (): void => {
  if (take === undefined) {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes()), { m: { f: () => {} } })
    take = exports['r'] as (depth: number) => void
  }
  take(DEPTH)
}
