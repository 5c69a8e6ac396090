//! The VFS: SQLite's calls in C, handed on to [`Handle`] and [`Disk`].
//!
//! All unsafe code of this crate is here. No panic leaves a function that SQLite calls: it becomes
//! an I/O error.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::{Arc, Once, atomic};

use rusqlite::ffi;

use super::content::SECTOR;
use super::disk::{Disk, Failure};
use super::handle::Handle;
use super::locks::Level;
use super::random::Random;
use super::registry;
use super::wal_index::{Hold, REGION_BYTES};

/// The name under which SQLite knows this VFS.
pub(super) const NAME: &str = "livestore-sim";

/// The same for C.
const C_NAME: &CStr = c"livestore-sim";

/// How long a path can be, its terminating zero included.
const MAX_PATH: c_int = 512;

/// The time at which the clock stands still: 2026-01-01T00:00:00Z, in milliseconds of Julian days.
const NOW: i64 = 212_633_985_600_000;

/// What SQLite takes for its own file structure.
#[repr(C)]
struct SimFile {
    base: ffi::sqlite3_file,
    /// From `Box::into_raw`, as long as `base.pMethods` is set.
    handle: *mut Handle,
}

/// A call that has failed: a result code of SQLite's.
struct Code(c_int);

/// What a call results in.
type Outcome<T = ()> = Result<T, Code>;

/// Adds to a failure what SQLite is to call it where it has no name of its own.
trait OrCode<T> {
    fn or_code(self, code: c_int) -> Outcome<T>;
}

impl<T> OrCode<T> for Result<T, Failure> {
    fn or_code(self, code: c_int) -> Outcome<T> {
        self.map_err(|failure| match failure {
            Failure::Full => Code(ffi::SQLITE_FULL),
            Failure::Busy => Code(ffi::SQLITE_BUSY),
            Failure::Dead | Failure::CutOff | Failure::Fault | Failure::Missing => Code(code),
        })
    }
}

/// Runs the body of a call; a panic in it is an I/O error.
fn call(body: impl FnOnce() -> Outcome) -> c_int {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => ffi::SQLITE_OK,
        Ok(Err(Code(code))) => code,
        Err(panic) => {
            // Dropping what was thrown could panic once more.
            let _ = ManuallyDrop::new(panic);
            ffi::SQLITE_IOERR
        }
    }
}

/// Makes the VFS known to SQLite, once in a process.
pub(super) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let vfs = Box::leak(Box::new(ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: size_of::<SimFile>() as c_int,
            mxPathname: MAX_PATH,
            pNext: ptr::null_mut(),
            zName: C_NAME.as_ptr(),
            pAppData: ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: Some(dl_open),
            xDlError: Some(dl_error),
            // These are called with what xDlOpen returned only, and it returns nothing.
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: Some(last_error),
            xCurrentTimeInt64: Some(current_time_int64),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        }));
        // SAFETY: the structure and all it points to live as long as the process, and SQLite alone
        // writes to it from here on.
        let code = unsafe { ffi::sqlite3_vfs_register(vfs, 0) };
        assert_eq!(code, ffi::SQLITE_OK, "SQLite takes no further VFS");
    });
}

/// Seeds SQLite's own generator of random numbers, for every connection of the process.
///
/// With the same seed, and as long as no other thread draws from that generator, everything that
/// SQLite writes is the same again. Call it before each run that is to be repeatable to the byte.
/// It is not for a process with databases that matter: their salts would become predictable too.
pub fn seed_sqlite_randomness(seed: u32) {
    // Zero would mean to seed from the operating system.
    let seed = seed.max(1);
    // SAFETY: this verb takes an integer and a connection, which may be null; a null connection
    // means that the integer is the seed.
    unsafe {
        ffi::sqlite3_test_control(
            ffi::SQLITE_TESTCTRL_PRNG_SEED,
            seed as c_int,
            ptr::null_mut::<ffi::sqlite3>(),
        );
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    // Version 3 would add memory mapping.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Returns the disk and the name that a path of SQLite's means.
///
/// # Safety
///
/// The path is a string that ends with a zero and does not change while the result lives.
unsafe fn find<'a>(path: *const c_char) -> Outcome<(Arc<Disk>, &'a str)> {
    // SAFETY: as the caller promises.
    let path = unsafe { CStr::from_ptr(path) };
    path.to_str().ok().and_then(registry::find).ok_or(Code(ffi::SQLITE_CANTOPEN))
}

/// Returns the handle of a file that SQLite has open.
///
/// # Safety
///
/// [`open`] has succeeded for the file, [`close`] was not called for it, and no other call for the
/// same file is under way: SQLite uses a file from one thread at a time, and no method here calls
/// back into it for a file.
unsafe fn handle<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Handle {
    // SAFETY: `open` has set the pointer, and nobody else has a reference, as the caller promises.
    unsafe { &mut *(*file.cast::<SimFile>()).handle }
}

fn offset(offset: ffi::sqlite3_int64, code: c_int) -> Outcome<usize> {
    usize::try_from(offset).map_err(|_| Code(code))
}

// Below, "SQLite's contract" is the documentation of sqlite3_vfs and sqlite3_io_methods: it says
// which pointers are valid for what, and it is upheld by SQLite, the only caller.

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    path: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let file = file.cast::<SimFile>();
    // SAFETY: by SQLite's contract, the file has room for `szOsFile` bytes. Without methods,
    // SQLite does not call `close`.
    unsafe { (*file).base.pMethods = ptr::null() };
    call(|| {
        let handle = if path.is_null() {
            Handle::open_temporary()
        } else {
            // SAFETY: by SQLite's contract, the path is valid until the file is closed.
            let (disk, name) = unsafe { find(path) }?;
            Handle::open(disk, name, flags & ffi::SQLITE_OPEN_CREATE != 0)
        };
        let handle = Box::new(handle.or_code(ffi::SQLITE_CANTOPEN)?);
        // SAFETY: as above; `out_flags` is null or valid.
        unsafe {
            (*file).handle = Box::into_raw(handle);
            (*file).base.pMethods = &raw const METHODS;
            if !out_flags.is_null() {
                *out_flags = flags;
            }
        }
        Ok(())
    })
}

unsafe extern "C" fn delete(
    _: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    sync_directory: c_int,
) -> c_int {
    call(|| {
        // SAFETY: by SQLite's contract, the path is valid during the call.
        let (disk, name) = unsafe { find(path) }?;
        match disk.lock().delete(name, sync_directory & 1 != 0) {
            Err(Failure::Missing) => Err(Code(ffi::SQLITE_IOERR_DELETE_NOENT)),
            result => result.or_code(ffi::SQLITE_IOERR_DELETE),
        }
    })
}

unsafe extern "C" fn access(
    _: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    question: c_int,
    answer: *mut c_int,
) -> c_int {
    call(|| {
        // SAFETY: by SQLite's contract, the path is valid during the call.
        let (disk, name) = unsafe { find(path) }?;
        let size = disk.lock().size_of(name).or_code(ffi::SQLITE_IOERR_ACCESS)?;
        // Like SQLite's own VFS: an empty journal is none.
        let yes = size.is_some_and(|size| question != ffi::SQLITE_ACCESS_EXISTS || size > 0);
        // SAFETY: by SQLite's contract, the answer can be written.
        unsafe { *answer = c_int::from(yes) };
        Ok(())
    })
}

unsafe extern "C" fn full_pathname(
    _: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    len: c_int,
    full: *mut c_char,
) -> c_int {
    call(|| {
        // SAFETY: by SQLite's contract, the path is valid during the call.
        let path = unsafe { CStr::from_ptr(path) }.to_bytes_with_nul();
        if usize::try_from(len).unwrap_or(0) < path.len() {
            return Err(Code(ffi::SQLITE_CANTOPEN));
        }
        // SAFETY: by SQLite's contract, there is room for `len` bytes, apart from the path.
        unsafe { ptr::copy_nonoverlapping(path.as_ptr().cast(), full, path.len()) };
        Ok(())
    })
}

unsafe extern "C" fn dl_open(_: *mut ffi::sqlite3_vfs, _: *const c_char) -> *mut c_void {
    ptr::null_mut()
}

unsafe extern "C" fn dl_error(_: *mut ffi::sqlite3_vfs, len: c_int, message: *mut c_char) {
    if len > 0 {
        // SAFETY: by SQLite's contract, there is room for `len` bytes.
        unsafe { *message = 0 };
    }
}

unsafe extern "C" fn randomness(_: *mut ffi::sqlite3_vfs, len: c_int, out: *mut c_char) -> c_int {
    let len = usize::try_from(len).unwrap_or(0);
    let mut random = Random::new(0);
    for index in 0..len {
        // SAFETY: by SQLite's contract, there is room for `len` bytes.
        unsafe { out.add(index).write(random.next() as c_char) };
    }
    len as c_int
}

unsafe extern "C" fn sleep(_: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    // No time passes, but a thread that holds the lock gets a chance to give it back.
    std::thread::yield_now();
    microseconds
}

unsafe extern "C" fn current_time(_: *mut ffi::sqlite3_vfs, days: *mut f64) -> c_int {
    // SAFETY: by SQLite's contract, the time can be written.
    unsafe { *days = NOW as f64 / 86_400_000.0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time_int64(
    _: *mut ffi::sqlite3_vfs,
    milliseconds: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: by SQLite's contract, the time can be written.
    unsafe { *milliseconds = NOW };
    ffi::SQLITE_OK
}

unsafe extern "C" fn last_error(_: *mut ffi::sqlite3_vfs, _: c_int, _: *mut c_char) -> c_int {
    0
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let file = file.cast::<SimFile>();
    call(|| {
        // SAFETY: `open` has set the handle, and SQLite closes a file once.
        unsafe {
            (*file).base.pMethods = ptr::null();
            drop(Box::from_raw((*file).handle));
        }
        Ok(())
    })
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    buffer: *mut c_void,
    len: c_int,
    start: ffi::sqlite3_int64,
) -> c_int {
    call(|| {
        let start = offset(start, ffi::SQLITE_IOERR_READ)?;
        let len = usize::try_from(len).unwrap_or(0);
        // SAFETY: by SQLite's contract, the buffer has room for `len` bytes and is used by nobody
        // else during the call. It need not be initialized, so zeros are written first.
        let buffer = unsafe {
            ptr::write_bytes(buffer.cast::<u8>(), 0, len);
            std::slice::from_raw_parts_mut(buffer.cast::<u8>(), len)
        };
        // SAFETY: the file is open.
        let read = unsafe { handle(file) }.read(buffer, start);
        let whole = read.or_code(ffi::SQLITE_IOERR_READ)?;
        if whole { Ok(()) } else { Err(Code(ffi::SQLITE_IOERR_SHORT_READ)) }
    })
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    len: c_int,
    start: ffi::sqlite3_int64,
) -> c_int {
    call(|| {
        let start = offset(start, ffi::SQLITE_IOERR_WRITE)?;
        let len = usize::try_from(len).unwrap_or(0);
        // SAFETY: by SQLite's contract, these are `len` bytes that nobody changes during the call.
        let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), len) };
        // SAFETY: the file is open.
        unsafe { handle(file) }.write(bytes, start).or_code(ffi::SQLITE_IOERR_WRITE)
    })
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, len: ffi::sqlite3_int64) -> c_int {
    call(|| {
        let len = offset(len, ffi::SQLITE_IOERR_TRUNCATE)?;
        // SAFETY: the file is open.
        unsafe { handle(file) }.truncate(len).or_code(ffi::SQLITE_IOERR_TRUNCATE)
    })
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: the file is open.
    call(|| unsafe { handle(file) }.sync().or_code(ffi::SQLITE_IOERR_FSYNC))
}

unsafe extern "C" fn file_size(
    file: *mut ffi::sqlite3_file,
    size: *mut ffi::sqlite3_int64,
) -> c_int {
    call(|| {
        // SAFETY: the file is open.
        let bytes = unsafe { handle(file) }.size().or_code(ffi::SQLITE_IOERR_FSTAT)?;
        // SAFETY: by SQLite's contract, the size can be written.
        unsafe { *size = bytes as ffi::sqlite3_int64 };
        Ok(())
    })
}

fn level(level: c_int) -> Outcome<Level> {
    match level {
        ffi::SQLITE_LOCK_NONE => Ok(Level::None),
        ffi::SQLITE_LOCK_SHARED => Ok(Level::Shared),
        ffi::SQLITE_LOCK_RESERVED => Ok(Level::Reserved),
        ffi::SQLITE_LOCK_EXCLUSIVE => Ok(Level::Exclusive),
        // SQLite never asks for SQLITE_LOCK_PENDING.
        _ => Err(Code(ffi::SQLITE_MISUSE)),
    }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, wanted: c_int) -> c_int {
    call(|| {
        let wanted = level(wanted)?;
        // SAFETY: the file is open.
        unsafe { handle(file) }.lock(wanted).or_code(ffi::SQLITE_IOERR_LOCK)
    })
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, wanted: c_int) -> c_int {
    call(|| {
        let wanted = level(wanted)?;
        // SAFETY: the file is open.
        unsafe { handle(file) }.unlock(wanted);
        Ok(())
    })
}

unsafe extern "C" fn check_reserved_lock(
    file: *mut ffi::sqlite3_file,
    answer: *mut c_int,
) -> c_int {
    call(|| {
        // SAFETY: the file is open.
        let reserved = unsafe { handle(file) }.is_reserved();
        let reserved = reserved.or_code(ffi::SQLITE_IOERR_CHECKRESERVEDLOCK)?;
        // SAFETY: by SQLite's contract, the answer can be written.
        unsafe { *answer = c_int::from(reserved) };
        Ok(())
    })
}

unsafe extern "C" fn file_control(
    file: *mut ffi::sqlite3_file,
    verb: c_int,
    argument: *mut c_void,
) -> c_int {
    call(|| {
        // SAFETY: the file is open.
        let handle = unsafe { handle(file) };
        match verb {
            ffi::SQLITE_FCNTL_HAS_MOVED => {
                let moved = handle.has_lost_its_name().or_code(ffi::SQLITE_IOERR_FSTAT)?;
                // SAFETY: by SQLite's contract, the argument of this verb is an integer to write.
                unsafe { *argument.cast::<c_int>() = c_int::from(moved) };
            }
            // SAFETY: by SQLite's contract, the argument of these verbs is an integer to read and
            // write.
            ffi::SQLITE_FCNTL_PERSIST_WAL => unsafe {
                set_or_ask(&mut handle.flags.persist_wal, argument.cast());
            },
            // SAFETY: as above.
            ffi::SQLITE_FCNTL_POWERSAFE_OVERWRITE => unsafe {
                set_or_ask(&mut handle.flags.powersafe_overwrite, argument.cast());
            },
            _ => return Err(Code(ffi::SQLITE_NOTFOUND)),
        }
        Ok(())
    })
}

/// Turns a flag on or off; if the argument is negative, it becomes what the flag is.
///
/// # Safety
///
/// The argument can be read and written.
unsafe fn set_or_ask(flag: &mut bool, argument: *mut c_int) {
    // SAFETY: as the caller promises.
    unsafe {
        match *argument {
            ..0 => *argument = c_int::from(*flag),
            set => *flag = set != 0,
        }
    }
}

unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    SECTOR as c_int
}

unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: the file is open.
    let powersafe = unsafe { handle(file) }.flags.powersafe_overwrite;
    let overwrite = if powersafe { ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE } else { 0 };
    ffi::SQLITE_IOCAP_SUBPAGE_READ | overwrite
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    number: c_int,
    len: c_int,
    extend: c_int,
    region: *mut *mut c_void,
) -> c_int {
    call(|| {
        // SAFETY: by SQLite's contract, the pointer can be written.
        unsafe { *region = ptr::null_mut() };
        let number = usize::try_from(number).map_err(|_| Code(ffi::SQLITE_IOERR_SHMMAP))?;
        if usize::try_from(len) != Ok(REGION_BYTES) {
            return Err(Code(ffi::SQLITE_IOERR_SHMSIZE));
        }
        // SAFETY: the file is open.
        let found = unsafe { handle(file) }.wal_index_region(number, extend != 0);
        if let Some(found) = found.or_code(ffi::SQLITE_IOERR_SHMMAP)? {
            // SAFETY: as above. The memory stays where it is until `shm_unmap` or `close`, and
            // Rust makes no reference to it that would rule out SQLite's writes.
            unsafe { *region = found };
        }
        Ok(())
    })
}

fn lock_range(first: c_int, count: c_int) -> Outcome<Range<usize>> {
    match (usize::try_from(first), usize::try_from(count)) {
        (Ok(first), Ok(count)) if first + count <= ffi::SQLITE_SHM_NLOCK as usize => {
            Ok(first..first + count)
        }
        _ => Err(Code(ffi::SQLITE_MISUSE)),
    }
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    first: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    call(|| {
        let range = lock_range(first, count)?;
        // SAFETY: the file is open.
        let handle = unsafe { handle(file) };
        if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
            handle.wal_index_unlock(range);
            return Ok(());
        }
        let alone = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
        let hold = if alone { Hold::Exclusive } else { Hold::Shared };
        handle.wal_index_lock(range, hold).or_code(ffi::SQLITE_IOERR_SHMLOCK)
    })
}

unsafe extern "C" fn shm_barrier(_: *mut ffi::sqlite3_file) {
    atomic::fence(atomic::Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, _delete: c_int) -> c_int {
    call(|| {
        // SAFETY: the file is open, and SQLite uses none of its regions any more.
        unsafe { handle(file) }.leave_wal_index();
        Ok(())
    })
}

#[cfg(test)]
mod tests;
