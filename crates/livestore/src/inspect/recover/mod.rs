//! Saving what is left of a damaged file into a new one.
//!
//! The damaged file is only read, and not by SQLite, which stops at the first page that makes no
//! sense (see [`livestore_sqlite::raw`]). What goes into the new file:
//!
//! - **the confirmed log** from its beginning up to the first event that is missing, as far as its
//!   hashes prove it; the rest comes again from the backend;
//! - **the pending tail**, the **dead letters**, the **client log** and the **archive**, in whole
//!   groups. Client-only groups that stood behind the new end of the log become pending, and so do
//!   this client's own confirmed groups if no backend is known that has them;
//! - **no state**: whoever opens the file derives it, applies the pending tail and makes dead
//!   letters of what no longer applies, as after a change of the schema. Undo data is dropped.
//!
//! What is lost is named in the report, and so is what may be older than the damaged file was.
//! Pending events have no checksum of their own: a byte that changed inside a payload and left it
//! canonical JSON, or inside an event's id, cannot be noticed. Nor can one inside the id of a group of
//! one event, but that the old id is named as lost if the tail's index lists it.

mod chain;
mod client_log;
mod identity;
mod layout;
mod report;
mod survey;
mod tail;
pub(super) mod writer;

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use livestore_core::{ClientId, GlobalSeqNum, GroupId, LogPosition, StoreId};
use livestore_sqlite::raw::{Gap, RawDatabase};
use livestore_sqlite::{FileLock, SqliteError};

pub use report::{Author, DamagedPlace, Kept, LostGroup, LostStretch, RecoverReport, Uncertain};

use super::placing::{Draft, io_error};
use super::rows::ArchivedRow;
use super::verify::{Problem, VerifyError, verify_file};
use super::{PlaceError, Progress, Work};
use crate::adapter::{LOCK_EXTENSION, STORE_EXTENSION, store_path};
use crate::replica::DeadLetter;
use crate::replica::format::{APPLICATION_ID, FORMAT_VERSION};
use crate::replica::log::ClientOnlyPlace;
use crate::replica::pending::Origin;
use identity::Identity;
use survey::{Located, Standing, Survey};
use tail::WholeGroup;
use writer::Writer;

/// What the damaged file may not tell, and what nobody else can know.
#[derive(Debug, Clone, Default)]
pub struct RecoverOptions {
    /// The store, for a file that tells it neither inside nor by its name.
    pub store_id: Option<StoreId>,
    /// Who commits, for a file that does not tell.
    pub client_id: Option<ClientId>,
    /// The backend is gone for good, so what is missing of the log will not come from there: this
    /// client's own confirmed groups behind the gap become pending.
    pub backend_is_gone: bool,
}

/// Why nothing was recovered. The damaged file is as it was, and nothing was overwritten.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// An app has the store open.
    #[error(
        "{path} is in use by an app; close the app first, or copy the file and its -wal file \
         elsewhere and recover the copy"
    )]
    InUse {
        /// The store's file.
        path: String,
    },
    /// There is nothing in the file that a store would hold.
    #[error("{path} holds nothing of a LiveStore store")]
    NothingFound {
        /// The file.
        path: String,
    },
    /// The file was written by another version of LiveStore.
    #[error(
        "{path} has storage format {found}, this version reads format {supported}; recover it \
         with the version that wrote it"
    )]
    UnknownFormat {
        /// The file.
        path: String,
        /// The file's format.
        found: i64,
        /// The format that this code knows.
        supported: i64,
    },
    /// Neither the file nor its name tells which store it is.
    #[error("{path} does not tell which store it is; name it with --store")]
    UnknownStore {
        /// The file.
        path: String,
    },
    /// The new file cannot be where it should be.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The new file could not be written.
    #[error("the new file cannot be written: {0}")]
    Write(#[source] SqliteError),
    /// The new file could not be checked.
    #[error("the new file cannot be checked: {0}")]
    Verify(#[source] VerifyError),
    /// The new file is not sound, which it always should be.
    #[error("the new file would not be sound, so it was not kept: {}: {}", .0.place, .0.what)]
    Unsound(Box<Problem>),
    /// The caller asked to end it.
    #[error("cancelled; nothing was written")]
    Cancelled,
}

/// Saves what is left of a store's file into a new one: in a folder, where it is named for the
/// store, or in a file if the name ends with `.livestore`.
///
/// # Errors
///
/// Damage is no error, unless nothing at all is left.
pub fn recover(
    from: &Path,
    to: &Path,
    options: &RecoverOptions,
    progress: &Progress,
) -> Result<RecoverReport, RecoverError> {
    let _lock = lock(from)?;
    let shown = || from.display().to_string();
    let raw = RawDatabase::open(from).map_err(io_error(from))?;
    progress.begin(Work::ReadingPages, raw.page_count().into());
    let mut survey = Survey::new(&raw, progress)?;
    if !survey.is_store() {
        return Err(RecoverError::NothingFound { path: shown() });
    }
    // If the tables are ours, a version that is not ours is damage.
    if let Some((APPLICATION_ID, found)) = raw.identity()
        && found != FORMAT_VERSION
        && survey.is_other_format
    {
        let (path, supported) = (shown(), FORMAT_VERSION);
        return Err(RecoverError::UnknownFormat { path, found, supported });
    }
    let identity = Identity::of(&survey, from, options)?;
    let target = target(to, &identity.store_id)?;
    let draft = Draft::begin(&target)?;
    let total = [&survey.log, &survey.client_log, &survey.pending].map(|table| table.rows.len());
    progress.begin(Work::Writing, total.iter().sum::<usize>() as u64);
    let writer = Writer::create(&draft, identity.meta(survey.meta.as_ref()), progress)?;
    let mut report = identity.report(&survey, from, &target);
    write(&mut survey, writer, options, &mut report)?;
    report.damage = survey.damage;

    progress.begin(Work::CheckingResult, 0);
    let check = verify_file(draft.path(), progress).map_err(|error| match error {
        VerifyError::Cancelled => RecoverError::Cancelled,
        other => RecoverError::Verify(other),
    })?;
    if let Some(problem) = check.problems.into_iter().next() {
        return Err(RecoverError::Unsound(problem.into()));
    }
    draft.place()?;
    Ok(report)
}

/// Writes everything that is kept, and notes what is not.
fn write(
    survey: &mut Survey<'_>,
    mut writer: Writer<'_>,
    options: &RecoverOptions,
    report: &mut RecoverReport,
) -> Result<(), RecoverError> {
    let chain = survey.write_chain(&mut writer)?;
    let head = chain.end;
    let mut client_only = survey.client_only_groups(&report.client_id);
    report.lost.append(&mut client_only.lost);
    report.uncertain.append(&mut client_only.uncertain);

    // What stays in its place, and what has lost the ground that it stood on.
    let (settled, mut moved): (Vec<_>, Vec<_>) =
        client_only.whole.into_iter().partition(|own| own.seq <= head.seq);
    // Whatever an older image of the tail says of them: they have left it.
    let client_only_ids = client_only.ids;
    let mut place = ClientOnlyPlace { seq: GlobalSeqNum::ROOT, client: 1 };
    for own in settled {
        if own.seq != place.seq {
            place = ClientOnlyPlace { seq: own.seq, client: 1 };
        }
        writer.client_only(&own.group, place)?;
        place.client += own.group.event_count() as u32;
    }
    moved.reverse();

    let keep_own = options.backend_is_gone || report.backend_id.is_none();
    let (mut again, mut uncertain) = (HashSet::new(), Vec::new());
    let (readable, behind) = survey.behind(head, |behind| {
        if !keep_own || behind.group.client_id() != &report.client_id {
            return Ok(());
        }
        while let Some(own) = moved.pop_if(|own| own.seq < behind.last) {
            writer.pending(&own.group, true, &Origin::default())?;
        }
        if again.insert(behind.group.id()) && !chain.ids.contains(&behind.group.id()) {
            writer.pending(&behind.group, false, &behind.origin())?;
            if behind.standing != Standing::Current {
                uncertain.push(behind.group.id());
            }
        }
        Ok(())
    })?;
    for own in moved.into_iter().rev() {
        writer.pending(&own.group, true, &Origin::default())?;
    }
    report.kept.pending_again = again.len() as u64;
    let what = "pending group";
    report.uncertain.extend(uncertain.into_iter().map(|id| Uncertain { what, id }));

    let letters = dead_letters(survey);
    let mut settled = behind;
    settled.extend(&chain.ids);
    settled.extend(&client_only_ids);
    settled.extend(letters.iter().filter(|(_, doubt)| !doubt).map(|(letter, _)| letter.group.id()));
    let tail = survey.tail_groups(&report.client_id, &settled);
    report.lost.extend(tail.lost.into_iter().filter(|lost| {
        // The log has it, or it is pending again.
        !chain.ids.contains(&lost.id) && !again.contains(&lost.id)
    }));
    let mut pending: HashSet<GroupId> = again;
    for WholeGroup { group, client_only, origin, standing } in tail.whole.into_values() {
        if chain.ids.contains(&group.id()) || !pending.insert(group.id()) {
            continue;
        }
        writer.pending(&group, client_only, &origin)?;
        if standing != Standing::Current {
            report.uncertain.push(Uncertain { what, id: group.id() });
        }
    }
    write_exceptions(survey, &mut writer, letters, &pending, &chain.ids, report)?;
    note_missing(survey, head, readable, report);
    let pending_again = report.kept.pending_again;
    report.head = head.seq;
    report.kept = writer.finish(head, report.confirmed_missing.is_none())?;
    report.kept.pending_again = pending_again;
    Ok(())
}

/// Reads the dead letters, each with whether it is doubtful.
fn dead_letters(survey: &Survey<'_>) -> Vec<(DeadLetter, bool)> {
    let read = |row: &Located| Some((survey.read(row)?, row.standing != Standing::Current));
    survey.dead_letters.rows.iter().filter_map(read).collect()
}

fn write_exceptions(
    survey: &Survey<'_>,
    writer: &mut Writer<'_>,
    letters: Vec<(DeadLetter, bool)>,
    pending: &HashSet<GroupId>,
    confirmed: &HashSet<GroupId>,
    report: &mut RecoverReport,
) -> Result<(), RecoverError> {
    let mut seen = HashSet::new();
    for (letter, is_doubtful) in letters {
        let id = letter.group.id();
        let is_elsewhere = pending.contains(&id) || is_doubtful && confirmed.contains(&id);
        if is_elsewhere || !seen.insert(id) {
            continue;
        }
        writer.dead_letter(&letter)?;
        if is_doubtful {
            report.uncertain.push(Uncertain { what: "dead letter", id });
        }
    }
    let mut last = None;
    for row in &survey.archive.rows {
        let Some(archived) = survey.read::<ArchivedRow>(row).filter(|row| Some(row.id) != last)
        else {
            continue;
        };
        last = Some(archived.id);
        writer.archived(&archived)?;
        if row.standing != Standing::Current {
            let id = archived.confirmed.group.id();
            report.uncertain.push(Uncertain { what: "archived group", id });
        }
    }
    // The index names what else was in the tail.
    let is_untold = |gap: &&Gap| !gap.up_to.is_some_and(|last| survey.pending_index.covers(last));
    let of_tail = survey.pending.gaps.iter().filter(is_untold);
    report.lost_rows.extend(of_tail.map(|gap| untold("pending groups", gap)));
    for (table, name) in
        [(&survey.dead_letters, "dead letters"), (&survey.archive, "archived groups")]
    {
        report.lost_rows.extend(table.gaps.iter().map(|gap| untold(name, gap)));
    }
    Ok(())
}

/// Says that rows may be lost which nothing names.
fn untold(name: &str, gap: &Gap) -> String {
    match gap.page {
        0 => format!("{name}: nothing tells how many there were"),
        page => format!("{name}: those on page {page}; nothing tells how many there were"),
    }
}

/// Notes which confirmed events are not in the new file.
fn note_missing(survey: &Survey<'_>, head: LogPosition, readable: u64, report: &mut RecoverReport) {
    let last_seen = survey.log.rows.last().map_or(0, |row| row.key.max(0) as u64);
    let last_seen = if readable > 0 { last_seen } else { head.seq.0 };
    let last_told = survey.log.gaps.iter().filter_map(|gap| gap.up_to).max();
    let last_told = last_told.map_or(0, |last| last.max(0) as u64);
    let old_head = report.old_head.map_or(0, |old| old.0);
    let last = last_seen.max(last_told).max(old_head);
    let is_open = report.old_head.is_none() && !survey.log.is_complete;
    if last > head.seq.0 || is_open {
        let first = head.seq.next();
        let last = (last > head.seq.0 && !is_open).then_some(GlobalSeqNum(last));
        report.confirmed_missing = Some(LostStretch { first, last, readable });
    }
}

/// Keeps apps away from the file, if there has ever been one that opened it here.
fn lock(from: &Path) -> Result<Option<FileLock>, RecoverError> {
    // A copy has no lock file, and none is made: nothing is written beside the damaged file.
    let Ok(file) = File::open(from.with_extension(LOCK_EXTENSION)) else { return Ok(None) };
    match FileLock::take(file) {
        Ok(Some(lock)) => Ok(Some(lock)),
        Ok(None) => Err(RecoverError::InUse { path: from.display().to_string() }),
        // A medium without locks, such as one for reading only; no app writes there.
        Err(_) => Ok(None),
    }
}

/// Returns the file to write: the one that is named, or one in the folder that is named.
fn target(to: &Path, store_id: &StoreId) -> Result<PathBuf, RecoverError> {
    if to.extension().is_some_and(|extension| extension == STORE_EXTENSION) {
        return Ok(to.into());
    }
    fs::create_dir_all(to).map_err(io_error(to))?;
    Ok(store_path(to, store_id))
}
