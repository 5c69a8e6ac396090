//! The disk of one machine, with one database on it.

use std::io;

use livestore::OpenError;
use livestore_sqlite::Connection;
use livestore_sqlite::sim::{Faults, Image, PowerCut, SimDisk};

use crate::action::{DiskTrouble, Loss};

/// The name of the only database.
const FILE: &str = "store.db";

/// A simulated disk.
#[derive(Debug)]
pub(crate) struct Disk {
    sim: SimDisk,
    page_bytes: u32,
    faults: Faults,
    /// True while something may fail that is no kill.
    pub(crate) is_troubled: bool,
    /// True while a kill is planned.
    pub(crate) is_doomed: bool,
}

impl Disk {
    pub(crate) fn new(seed: u64, page_bytes: u32) -> Self {
        Self {
            sim: SimDisk::new(seed),
            page_bytes,
            faults: Faults::default(),
            is_troubled: false,
            is_doomed: false,
        }
    }

    /// Opens the database, as a client's adapter does.
    pub(crate) fn open(&self) -> Result<Connection, OpenError> {
        let io = |source| OpenError::Io { path: FILE.into(), source };
        self.sim.renew_wal(FILE).map_err(io)?;
        let connection = self.sim.open_paged(FILE, self.page_bytes)?;
        connection.empty_left_wal()?;
        Ok(connection)
    }

    /// The database's path, for whoever opens it in another way.
    pub(crate) fn path(&self) -> String {
        self.sim.path(FILE)
    }

    /// Syncs what was committed, as a driver does for a barrier.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.sim.sync_wal(FILE)
    }

    /// Lets some operations fail from now on, or none.
    pub(crate) fn trouble(&mut self, trouble: DiskTrouble) {
        let DiskTrouble { io_error_per_mille, sync_error_per_mille, full_after_bytes } = trouble;
        self.is_troubled = trouble != DiskTrouble::default();
        let full_after_bytes = full_after_bytes.map(|more| self.sim.bytes() + more);
        self.faults = Faults { io_error_per_mille, full_after_bytes, sync_error_per_mille };
        self.sim.set_faults(self.faults);
    }

    /// Lets the process die before it has done so many more operations.
    pub(crate) fn kill_after(&mut self, operations: u64) {
        self.is_doomed = true;
        self.sim.kill_after(operations);
    }

    /// Lets the process die now.
    pub(crate) fn kill(&mut self) {
        self.kill_after(0);
        // Any operation will do; creating a file is one that is always possible.
        let _ = self.sim.open("nothing.db");
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.sim.is_dead()
    }

    /// Gets ready for another process, or forgets that this one is doomed.
    pub(crate) fn revive(&mut self) {
        self.is_doomed = false;
        self.sim.revive();
    }

    /// Loses power; nothing may have the database open.
    pub(crate) fn power_cut(&self, loss: Loss) {
        self.sim.power_cut(match loss {
            Loss::Nothing => PowerCut::KeepAll,
            Loss::Unsynced => PowerCut::LoseUnsynced,
            Loss::Random => PowerCut::Random,
        });
    }

    /// Copies the disk.
    pub(crate) fn image(&self) -> Image {
        self.sim.image()
    }

    /// Puts a copy in place of what there is; nothing may have the database open.
    pub(crate) fn restore(&self, image: &Image) {
        self.sim.restore(image);
    }
}

/// Runs something with a disk that does not fail, such as a check.
pub(crate) fn calmly<R>(disk: Option<&Disk>, run: impl FnOnce() -> R) -> R {
    let Some(disk) = disk else { return run() };
    disk.sim.set_faults(Faults::default());
    let result = run();
    disk.sim.set_faults(disk.faults);
    result
}
