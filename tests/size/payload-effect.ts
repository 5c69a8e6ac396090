import { Schema } from '@livestore-rs/livestore'

export const todo = Schema.Struct({ id: Schema.String, text: Schema.String })
