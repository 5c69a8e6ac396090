/** The version of this package. */
export const liveStoreVersion = '0.0.1'
