import * as v from 'valibot'

export const todo = v.object({ id: v.string(), text: v.string() })
