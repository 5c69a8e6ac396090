//! Stores in files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use livestore_core::{ClientId, StoreId};
use livestore_sqlite::{Connection, Durability, FileLock};

use super::{Adapter, Medium, opening};
use crate::OpenError;
use crate::session::Lock;
use crate::sync_provider::{Capabilities, SyncProvider};

/// Keeps a store in a file of a folder; the folder may hold many stores.
#[derive(Debug)]
pub struct FileAdapter {
    folder: PathBuf,
    sync: Option<Arc<dyn SyncProvider>>,
    client_id: Option<ClientId>,
}

impl FileAdapter {
    /// Makes an adapter without a backend; the folder is created when a store is opened.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        // A store that comes to lead later means the folder that was meant now.
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        Self { folder, sync: None, client_id: None }
    }

    /// Syncs with a backend.
    #[must_use]
    pub fn sync(mut self, provider: impl SyncProvider) -> Self {
        self.sync = Some(Arc::new(provider));
        self
    }

    /// Sets who commits, for a file that does not say so yet, instead of a random id.
    #[must_use]
    pub fn client_id(mut self, client_id: ClientId) -> Self {
        self.client_id = Some(client_id);
        self
    }
}

impl Adapter for FileAdapter {
    fn open(&self, store_id: &StoreId) -> Result<Medium, OpenError> {
        let Self { folder, sync, client_id } = self;
        create_folder(folder)?;
        let path = store_path(folder, store_id);
        let lock = lock(&path.with_extension(LOCK_EXTENSION))?;
        renew_wal(&path)?;
        let connection = Connection::open_file(&path).map_err(|error| opening(&path, error))?;
        connection.empty_left_wal().map_err(|error| opening(&path, error))?;
        // Also if the file was there: whoever made it may have been killed before this.
        sync_folder(folder)?;
        let durability = Durability::Normal;
        let path = Some(path);
        let (client_id, sync) = (client_id.clone(), sync.clone());
        Ok(Medium { connection, durability, path, client_id, session_id: None, sync, lock })
    }

    fn file(&self, store_id: &StoreId) -> Option<PathBuf> {
        Some(store_path(&self.folder, store_id))
    }

    fn capabilities(&self) -> Option<Capabilities> {
        self.sync.as_ref().map(|provider| provider.capabilities())
    }
}

pub(crate) const STORE_EXTENSION: &str = "livestore";
pub(crate) const LOCK_EXTENSION: &str = "lock";

/// Returns the file of a store in a folder.
///
/// A store id is a valid file name but for one thing: some file systems do not tell `a` from `A`.
/// So a capital letter is written as `+` and the small one.
pub(crate) fn store_path(folder: &Path, store_id: &StoreId) -> PathBuf {
    let mut name = String::new();
    for letter in store_id.as_str().chars() {
        if letter.is_ascii_uppercase() {
            name.push('+');
        }
        name.push(letter.to_ascii_lowercase());
    }
    folder.join(format!("{name}.{STORE_EXTENSION}"))
}

/// Returns the store that a file is named for.
pub(crate) fn store_named_by(path: &Path) -> Option<StoreId> {
    let mut name = String::new();
    let mut letters = path.file_stem()?.to_str()?.chars();
    while let Some(letter) = letters.next() {
        name.push(if letter == '+' { letters.next()?.to_ascii_uppercase() } else { letter });
    }
    StoreId::new(name).ok()
}

/// Lists the files of stores in a folder, by name.
pub(crate) fn store_files(folder: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(io_error(folder))? {
        let path = entry.map_err(io_error(folder))?.path();
        if path.extension().is_some_and(|extension| extension == STORE_EXTENSION) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn lock(path: &Path) -> Result<Option<FileLock>, OpenError> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(io_error(path))?;
    let lock = FileLock::take(file).map_err(io_error(path))?;
    let is_ours = if lock.is_some() { Lock::Taken } else { Lock::Held };
    if !is_ours.lets_lead(false) {
        return Err(OpenError::InUse { path: path.display().to_string() });
    }
    Ok(lock)
}

/// Creates a folder, and those above it, such that they survive a power cut.
fn create_folder(folder: &Path) -> Result<(), OpenError> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|path| !path.exists()).collect();
    fs::create_dir_all(folder).map_err(io_error(folder))?;
    missing.iter().filter_map(|path| path.parent()).try_for_each(sync_folder)
}

/// Makes a new file's entry in its folder survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), OpenError> {
    // Windows neither needs nor allows this.
    if cfg!(unix) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(io_error(folder))?;
    }
    Ok(())
}

pub(crate) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.display().to_string();
    move |source| OpenError::Io { path, source }
}

/// Makes everything that was committed to a file before the call survive a power cut.
///
/// In WAL mode that is a sync of the `-wal` file: a checkpoint that moved its content into the
/// database has synced both already.
pub(crate) fn sync_wal(path: &Path) -> io::Result<()> {
    // Closing this handle drops no lock of SQLite's: those are on the database and the -shm file.
    OpenOptions::new().read(true).write(true).open(wal_of(path))?.sync_all()
}

/// Writes the `-wal` file that another process left once more as it is, and syncs it.
///
/// That process may have ended because a sync failed. What the system dropped then counts as
/// written, so only writing it anew brings it to the disk; without that, the next sync would promise
/// too much. Readers see the same bytes all the time.
fn renew_wal(path: &Path) -> Result<(), OpenError> {
    let wal = wal_of(path);
    let mut file = match OpenOptions::new().read(true).write(true).open(&wal) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error(&wal)(error)),
    };
    renew(&mut file).map_err(io_error(&wal))
}

fn renew(file: &mut File) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 18];
    let mut at = 0;
    loop {
        file.seek(SeekFrom::Start(at))?;
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&buffer[..read])?;
        at += read as u64;
    }
    if at > 0 { file.sync_all() } else { Ok(()) }
}

pub(crate) fn wal_of(path: &Path) -> PathBuf {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    wal.into()
}
