// As far as it is used here, LiveStore's interface is ours.
declare module 'livestore-0.4' {
  export * from '@livestore-rs/livestore'
}
declare module 'livestore-0.4-adapter-web' {
  export * from '@livestore-rs/adapter-web'
}
