/** Lets schemas be used that come from `effect` itself. */
import '@livestore-rs/common/effect'
