// Makes a string of bytes that are ASCII, by hand: what a decoder makes is kept outside JavaScript's heap, where each
// string is one more thing for the garbage collection to look after.

export function ascii(bytes) {
  const units = []
  for (let at = 0; at < bytes.length; at++) units.push(bytes[at])
  return String.fromCharCode.apply(null, units)
}
