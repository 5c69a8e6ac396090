/** Numbers for what has no name: the same for the same object. */
const numbers = new WeakMap<object, number>()
let next = 0

export const numberOf = (object: object): number => {
  let number = numbers.get(object)
  if (number === undefined) numbers.set(object, (number = next++))
  return number
}
