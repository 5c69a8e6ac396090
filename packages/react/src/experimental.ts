/** As LiveStore has it: what is also exported beside everything else. */
export { LiveList, type LiveListProps } from './live-list.js'
