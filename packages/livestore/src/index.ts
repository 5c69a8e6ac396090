// Beside what the other packages have in common there is nothing here: so that there is one copy of it, under whatever
// name an app has this package.
export * from '@livestore-rs/common'
