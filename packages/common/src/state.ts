export * as SQLite from './state-sqlite.js'
