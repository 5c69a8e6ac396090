// Takes apart the rows that `rows.rs` has put together. The numbers lie in the engine's own memory, so that they
// are read at once, and nothing is called in between.

const NULL = 0
const NUMBER = 1
const TEXT = 2

const REMOVE = 1
const MOVE = 2

class Reader {
  at = 0
  textAt = 0
  otherAt = 0

  constructor(numbers, text, others) {
    this.numbers = numbers
    this.text = text
    this.others = others
  }

  number() {
    return this.numbers[this.at++]
  }

  value() {
    switch (this.number()) {
      case NULL:
        return null
      case NUMBER:
        return this.number()
      case TEXT: {
        const start = this.textAt
        this.textAt += this.number()
        return this.text.slice(start, this.textAt)
      }
      default:
        return this.others[this.otherAt++]
    }
  }

  row(width) {
    const row = []
    for (let column = 0; column < width; column++) row.push(this.value())
    return row
  }

  isDone() {
    return this.at >= this.numbers.length
  }
}

export function rows(width, numbers, text, others) {
  const reader = new Reader(numbers, text, others)
  const rows = []
  while (!reader.isDone()) rows.push(reader.row(width))
  return rows
}

export function steps(width, numbers, text, others) {
  const reader = new Reader(numbers, text, others)
  const steps = []
  while (!reader.isDone()) {
    const kind = reader.number()
    steps.push(kind, reader.number())
    if (kind === MOVE) steps.push(reader.number())
    else if (kind !== REMOVE) steps.push(reader.row(width))
  }
  return steps
}
