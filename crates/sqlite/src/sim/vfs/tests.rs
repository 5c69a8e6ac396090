use rusqlite::{Connection, OpenFlags};

use super::super::SimDisk;
use super::*;

#[test]
fn a_panic_is_an_io_error_to_sqlite() {
    let panicking = || -> Outcome { std::panic::resume_unwind(Box::new("a bug")) };
    assert_eq!(call(panicking), ffi::SQLITE_IOERR);
    assert_eq!(call(|| Ok(())), ffi::SQLITE_OK);
    assert_eq!(call(|| Err(Code(ffi::SQLITE_BUSY))), ffi::SQLITE_BUSY);
}

fn open(disk: &SimDisk) -> Connection {
    let flags = OpenFlags::default();
    let connection = Connection::open_with_flags_and_vfs(disk.path("db"), flags, NAME).unwrap();
    connection.execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE log (n)").unwrap();
    connection
}

/// Sets a flag of the database file, or asks for it with -1; returns what it is then.
fn flag(connection: &Connection, verb: c_int, value: c_int) -> c_int {
    let mut argument = value;
    // SAFETY: the connection is open, and these verbs take an integer to read and write.
    let code = unsafe {
        let (connection, argument) = (connection.handle(), (&raw mut argument).cast());
        ffi::sqlite3_file_control(connection, c"main".as_ptr(), verb, argument)
    };
    assert_eq!(code, ffi::SQLITE_OK);
    argument
}

#[test]
fn a_wal_can_be_made_to_stay() {
    for stays in [false, true] {
        let disk = SimDisk::new(1);
        let connection = open(&disk);
        assert_eq!(flag(&connection, ffi::SQLITE_FCNTL_PERSIST_WAL, -1), 0);
        flag(&connection, ffi::SQLITE_FCNTL_PERSIST_WAL, c_int::from(stays));
        drop(connection);
        assert_eq!(disk.image().files().count(), if stays { 2 } else { 1 });
    }
}

#[test]
fn powersafe_overwrite_can_be_turned_off() {
    let disk = SimDisk::new(1);
    let connection = open(&disk);
    let verb = ffi::SQLITE_FCNTL_POWERSAFE_OVERWRITE;
    assert_eq!(flag(&connection, verb, -1), 1);
    flag(&connection, verb, 0);
    assert_eq!(flag(&connection, verb, -1), 0);
    connection.execute_batch("INSERT INTO log VALUES (1)").unwrap();
}
