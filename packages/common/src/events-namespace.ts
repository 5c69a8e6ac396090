export { clientOnly, defineEvent, synced } from './events.js'
