//! Saving damaged files: whatever is damaged, nothing is invented, what can be read is kept, and
//! what is missing is named.

use std::collections::HashSet;

use livestore::GroupId;
use livestore::inspect::{Author, Inspector, Progress, RecoverError, RecoverOptions, verify_file};
use livestore::prelude::*;
use livestore_core::Group;
use livestore_sqlite::raw::RawDatabase;
use livestore_sqlite::rusqlite::Connection;
use proptest::prelude::*;

use super::judge::{
    Differences, Known, PAGE, assert_all_named, assert_nothing_invented, assert_readable_kept,
    assert_syncs, differences, fill, recovered, try_recover,
};
use super::sample::{Content, Files, Sample, noted, schema};
use crate::app::assert_state_is_replay;
use crate::properties::cases;

#[test]
fn a_whole_file_comes_out_as_it_was() {
    for checkpointed in [false, true] {
        let sample = Sample::new(checkpointed);
        let recovered = recovered(&sample.files);
        assert_eq!(recovered.content, sample.content);
        assert_eq!(recovered.report.damage, []);
        assert!(recovered.report.is_complete());
        assert_eq!(recovered.report.client_id_by, Author::File);
        // The log can be read before the state is there.
        let inspector = Inspector::open_file(&recovered.path()).unwrap();
        assert!(inspector.status().unwrap().is_rebuilding);
        let mut confirmed = 0;
        let count = |event: livestore::LoggedEvent| {
            confirmed += u64::from(event.confirmed && event.seq.client == 0);
            true
        };
        inspector.for_each_event(livestore::GlobalSeqNum::ROOT, count).unwrap();
        assert_eq!(confirmed, sample.content.events());
        drop(inspector);
        let folder = tempfile::tempdir().unwrap();
        sample.files.write(folder.path());
        let original = Store::open(schema(), "test", FileAdapter::new(folder.path())).unwrap();
        let store = recovered.open();
        assert_eq!(store.state_hash().unwrap(), original.state_hash().unwrap());
        assert_state_is_replay(&store);
        drop(store);
        assert_syncs(&sample, &recovered);
    }
}

#[test]
fn any_one_page_can_be_lost() {
    let sample = Sample::with(24, true);
    let known = Known::read(&sample.files);
    let pages = sample.files.database.len() / PAGE;
    assert!(pages > 25, "{pages} pages");
    let (mut whole, mut uncertain) = (0, 0);
    for page in 0..pages {
        let recovered = recovered(&fill(&sample.files, page, if page % 2 == 0 { 0 } else { 0xa5 }));
        let files = fill(&sample.files, page, if page % 2 == 0 { 0 } else { 0xa5 });
        assert_nothing_invented(&sample.content, &recovered);
        assert_all_named(&sample.content, &recovered);
        assert_readable_kept(&sample.content, &known, &files, &recovered);
        whole += usize::from(recovered.content == sample.content);
        uncertain += recovered.report.uncertain.len();
        if page % 3 == 0 {
            assert_syncs(&sample, &recovered);
        } else {
            assert_state_is_replay(&recovered.open());
        }
    }
    // State, indexes, the header, free pages and inner pages hold nothing that is needed.
    assert!(whole > pages / 3, "{whole} of {pages} were recovered whole");
    assert_eq!(uncertain, 0, "one damaged page leaves no doubt about the others");
}

#[test]
fn any_one_page_can_be_replaced_by_another() {
    let sample = Sample::with(24, true);
    let known = Known::read(&sample.files);
    let pages = sample.files.database.len() / PAGE;
    for page in 1..pages {
        let other = (page * 7 + 3) % pages;
        let mut files = sample.files.clone();
        files.database.copy_within(other * PAGE..(other + 1) * PAGE, page * PAGE);
        let recovered = recovered(&files);
        assert_nothing_invented(&sample.content, &recovered);
        assert_all_named(&sample.content, &recovered);
        assert_readable_kept(&sample.content, &known, &files, &recovered);
        assert_state_is_replay(&recovered.open());
    }
}

#[test]
fn the_file_can_end_anywhere() {
    let sample = Sample::with(24, true);
    let known = Known::read(&sample.files);
    let len = sample.files.database.len();
    for end in (0..len).step_by(PAGE / 2 * 3).chain([1, 99, 100, 511, PAGE, PAGE + 1, len - 1]) {
        let mut files = sample.files.clone();
        files.database.truncate(end);
        match try_recover(&files, &RecoverOptions::default()) {
            Ok(recovered) => {
                assert_nothing_invented(&sample.content, &recovered);
                assert_readable_kept(&sample.content, &known, &files, &recovered);
                assert!(!recovered.report.damage.is_empty());
                assert_state_is_replay(&recovered.open());
            }
            Err(RecoverError::NothingFound { .. }) => assert!(end < 2 * PAGE, "{end}"),
            Err(error) => panic!("{end}: {error}"),
        }
    }
}

#[test]
fn the_header_can_say_anything() {
    let sample = Sample::with(24, true);
    let known = Known::read(&sample.files);
    let everything = (0..100).map(|at| at..at + 1).chain([0..16, 16..24, 24..100, 0..100, 0..PAGE]);
    for range in everything {
        let mut files = sample.files.clone();
        files.database[range.clone()].iter_mut().for_each(|byte| *byte ^= 0x81);
        let recovered = recovered(&files);
        assert_nothing_invented(&sample.content, &recovered);
        assert_readable_kept(&sample.content, &known, &files, &recovered);
        assert_eq!(recovered.content, sample.content, "{range:?}: {:?}", recovered.report);
    }
}

#[test]
fn without_schema_and_with_one_more_damaged_page_nothing_readable_is_lost() {
    let sample = Sample::with(24, true);
    let known = Known::read(&sample.files);
    let pages = sample.files.database.len() / PAGE;
    let mut doubts = 0;
    for page in 1..pages {
        let files = fill(&fill(&sample.files, 0, 0), page, 0);
        let recovered = recovered(&files);
        assert_nothing_invented(&sample.content, &recovered);
        assert_all_named(&sample.content, &recovered);
        assert_readable_kept(&sample.content, &known, &files, &recovered);
        doubts += recovered.report.uncertain.len();
        if page % 4 == 0 {
            assert_syncs(&sample, &recovered);
        }
    }
    assert!(doubts < 200, "{doubts} rows are uncertain");
}

#[test]
fn a_row_under_another_number_never_makes_a_log_that_begins_later() {
    let sample = Sample::with(12, true);
    let first = sample.content.confirmed[0].group.events()[0].id;
    let id = first.as_bytes();
    let places: Vec<_> = sample.files.database.windows(16).enumerate().collect();
    let places = places.into_iter().filter(|(_, bytes)| bytes == id).map(|(at, _)| at);
    let mut flips = 0;
    // The row's length, number and header stand before its first value.
    for at in places.flat_map(|at| at.saturating_sub(16)..at) {
        for bit in 0..8 {
            let mut files = sample.files.clone();
            files.database[at] ^= 1 << bit;
            let recovered = recovered(&files);
            let kept = recovered.content.confirmed.len();
            assert_eq!(recovered.content.confirmed, sample.content.confirmed[..kept], "{at} {bit}");
            flips += 1;
        }
    }
    assert!(flips > 100, "{flips}");
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn whatever_is_damaged_nothing_is_invented(
        checkpointed in any::<bool>(),
        damage in prop::collection::vec(
            (any::<prop::sample::Index>(), prop_oneof![1..40_usize, 1..6_000_usize], any::<u8>()),
            1..6),
    ) {
        let sample = Sample::with(16, checkpointed);
        let mut files = sample.files.clone();
        let damaged = damage.len();
        for (at, len, byte) in damage {
            let target = if byte % 3 == 0 && !files.wal.is_empty() {
                &mut files.wal
            } else {
                &mut files.database
            };
            let at = at.index(target.len());
            let end = target.len().min(at + len);
            // Structure is destroyed, but no text is turned into another. An id may be.
            target[at..end].fill(byte | 0x80);
        }
        match try_recover(&files, &RecoverOptions::default()) {
            Ok(recovered) => {
                let Differences { ids, torn } = differences(&sample.content, &recovered);
                prop_assert!(ids.len() <= damaged, "{ids:?}");
                prop_assert!(2 * torn.len() <= damaged, "{torn:?}");
                assert_state_is_replay(&recovered.open());
            }
            Err(RecoverError::NothingFound { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_flipped_bit_never_gets_into_the_log(
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let sample = Sample::with(12, true);
        let mut files = sample.files.clone();
        let at = at.index(files.database.len());
        files.database[at] ^= 1 << bit;
        let recovered = recovered(&files);
        let kept = recovered.content.confirmed.len();
        assert_eq!(recovered.content.confirmed, sample.content.confirmed[..kept]);
        // Pending events have no checksum, but their ids are not made up.
        let was = sample.content.pending.iter().map(|(group, _)| group);
        let was: HashSet<_> = was.chain(&sample.content.client_only).map(Group::id).collect();
        let changed = recovered.pending().iter().filter(|id| !was.contains(id)).count();
        prop_assert!(changed <= 1);
        assert_state_is_replay(&recovered.open());
    }
}

#[test]
fn a_pending_group_whose_id_is_damaged_is_kept() {
    let sample = Sample::with(16, true);
    let mut groups = sample.content.pending.iter().map(|(group, _)| group);
    let id = groups.find(|group| group.event_count() == 1).unwrap().id();
    let places = sample.files.database.windows(16).enumerate();
    let places: Vec<_> = places.filter(|(_, bytes)| bytes == id.as_bytes()).collect();
    let mut changed = HashSet::new();
    for (at, _) in places {
        let mut files = sample.files.clone();
        files.database[at + 2..at + 14].fill(0x99);
        let recovered = recovered(&files);
        let Differences { ids, torn } = differences(&sample.content, &recovered);
        assert_eq!(torn, HashSet::new());
        changed.extend(ids);
        assert_eq!(recovered.content.pending.len(), sample.content.pending.len());
        assert_state_is_replay(&recovered.open());
    }
    assert_eq!(changed.len(), 1, "{changed:?}");
}

#[test]
fn a_damaged_id_costs_no_client_only_group() {
    let sample = Sample::with(16, true);
    let all = &sample.content.client_only;
    for events in [1, 3] {
        let group = all.iter().rfind(|group| group.event_count() == events).unwrap();
        let places = sample.files.database.windows(16).enumerate();
        let places: Vec<_> = places.filter(|(_, bytes)| bytes == group.id().as_bytes()).collect();
        // In its rows and in their index.
        assert!(places.len() as u64 >= 2 * events);
        for (at, _) in &places {
            let mut files = sample.files.clone();
            files.database[at + 2..at + 14].fill(0x99);
            let recovered = recovered(&files);
            assert_eq!(recovered.content.client_only.len(), all.len(), "{at}");
            let Differences { ids, torn } = differences(&sample.content, &recovered);
            assert_eq!(torn, HashSet::new());
            // What stands alone has its id in two places, of which neither proves the other wrong.
            assert!(ids.len() <= usize::from(events == 1), "{ids:?}");
            assert_all_named(&sample.content, &recovered);
            assert_state_is_replay(&recovered.open());
        }
    }
}

/// The only page of a table or an index of the client log: where it begins in the file, its number of
/// cells, and where they begin in it.
fn client_log_page(sample: &Sample, name: &str) -> (usize, usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let raw = RawDatabase::open(&sample.files.write(folder.path())).unwrap();
    let root = raw.schema().iter().find(|object| object.name == name).unwrap().root;
    let begin = (root as usize - 1) * PAGE;
    let page = &sample.files.database[begin..begin + PAGE];
    let number = |at: usize| u16::from_be_bytes([page[at], page[at + 1]]) as usize;
    let (cells, content) = (number(3), number(5));
    let events: usize = sample.content.client_only.iter().map(|group| group.events().len()).sum();
    assert!(page[0] == 10 && cells == events, "a leaf of an index with all of it");
    (begin, cells, content)
}

#[test]
fn whatever_is_damaged_of_their_index_no_client_only_group_is_lost() {
    let sample = Sample::with(12, true);
    let (begin, cells, content) = client_log_page(&sample, "__livestore_client_log_group");
    for at in (0..8 + 2 * cells).chain(content..PAGE) {
        let change = if at % 2 == 0 { 0x01 } else { 0x81 };
        let mut files = sample.files.clone();
        files.database[begin + at] ^= change;
        let recovered = recovered(&files);
        let kept = recovered.content.client_only;
        assert_eq!(kept, sample.content.client_only, "{at} {change}: {:?}", recovered.report);
    }
}

#[test]
fn whatever_is_damaged_of_a_row_no_other_client_only_group_is_lost() {
    let sample = Sample::with(12, true);
    let all = &sample.content.client_only;
    let (begin, _, content) = client_log_page(&sample, "__livestore_client_log");
    for at in content..PAGE {
        let change = if at % 2 == 0 { 0x01 } else { 0x81 };
        let mut files = sample.files.clone();
        files.database[begin + at] ^= change;
        let recovered = recovered(&files);
        let kept = &recovered.content.client_only;
        let other: Vec<_> = all.iter().filter(|group| !kept.contains(group)).collect();
        assert!(other.len() <= 1, "{at} {change}: {:?}", recovered.report);
        // It may say something else, since a payload has no checksum, but it is whole.
        for group in kept.iter().filter(|group| !all.contains(group)) {
            assert_eq!(group.event_count(), other[0].event_count(), "{at} {change}");
        }
    }
}

#[test]
fn the_index_of_the_tail_tells_of_a_damaged_id() {
    let sample = Sample::with(16, true);
    let mut groups = sample.content.pending.iter().map(|(group, _)| group);
    let id = groups.find(|group| group.event_count() == 1).unwrap().id();
    let folder = tempfile::tempdir().unwrap();
    let path = sample.files.write(folder.path());
    let connection = Connection::open(&path).unwrap();
    let list_all = "INSERT OR REPLACE INTO __livestore_pending_group \
                    (ordinal, group_id, events, client_only) \
                    SELECT ordinal, group_id, events, client_only \
                    FROM __livestore_pending WHERE event_index = 0";
    connection.execute(list_all, []).unwrap();
    let damage = "UPDATE __livestore_pending SET group_id = ? WHERE group_id = ?";
    connection.execute(damage, [&[0x99; 16], id.as_bytes()]).unwrap();
    drop(connection);
    let check = verify_file(&path, &Progress::new()).unwrap();
    assert!(!check.problems.is_empty());
    let recovered = recovered(&Files::read(&path));
    assert_eq!(differences(&sample.content, &recovered).ids.len(), 1);
    assert!(recovered.report.lost.iter().any(|lost| lost.id == id));
}

/// What SQLite itself makes of the files.
fn as_sqlite_reads(files: &Files) -> Option<Content> {
    let folder = tempfile::tempdir().unwrap();
    let path = files.write(folder.path());
    let connection = Connection::open(&path).unwrap();
    let check = connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    drop(connection);
    (check.ok()? == "ok").then(|| Content::read(&path))
}

#[test]
fn a_damaged_frame_costs_no_more_than_its_page() {
    let sample = Sample::with(12, false);
    let frames = (sample.files.wal.len() - 32) / (PAGE + 24);
    assert!(frames > 60, "{frames} frames");
    let (mut whole, mut saved) = (0, 0);
    for frame in 0..frames {
        let begin = 32 + frame * (PAGE + 24);
        let mut files = sample.files.clone();
        // Its header, or its page.
        let range = if frame % 4 == 0 { begin..begin + 24 } else { begin + 24..begin + PAGE };
        files.wal[range].fill(0x99);
        let recovered = recovered(&files);
        assert_nothing_invented(&sample.content, &recovered);
        whole += usize::from(recovered.content == sample.content);
        let Some(sqlite) = as_sqlite_reads(&files) else { continue };
        assert!(recovered.content.confirmed.len() >= sqlite.confirmed.len());
        let kept = recovered.pending();
        let content = &recovered.content;
        let settled = content.confirmed.iter().map(|confirmed| confirmed.group.id());
        let settled = settled.chain(content.client_only.iter().map(Group::id));
        let settled: HashSet<_> =
            settled.chain(content.dead_letters.iter().map(Group::id)).collect();
        for (group, _) in &sqlite.pending {
            let id = group.id();
            assert!(kept.contains(&id) || settled.contains(&id), "frame {frame}: {id} is lost");
        }
        saved += kept.len() - sqlite.pending.len();
        if frame % 8 == 0 {
            assert_syncs(&sample, &recovered);
        }
    }
    assert!(whole > frames / 2, "{whole} of {frames} were recovered whole");
    assert!(saved > frames, "{saved} groups more than SQLite finds");
}

/// A store that lost a frame of its `-wal` file in a power cut, and to which another program has
/// written since, over the hole and a part of what followed it.
fn after_a_hole(files: &Files, hole: usize, write: impl FnOnce(&Connection)) -> Files {
    let mut files = files.clone();
    let begin = 32 + hole * (PAGE + 24);
    files.wal[begin..begin + PAGE + 24].fill(0);
    let folder = tempfile::tempdir().unwrap();
    let path = files.write(folder.path());
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA wal_autocheckpoint = 0").unwrap();
    write(&connection);
    Files::read(&path)
}

#[test]
fn frames_of_lost_transactions_behind_newer_ones_replace_nothing() {
    let sample = Sample::with(12, false);
    let frames = (sample.files.wal.len() - 32) / (PAGE + 24);
    let new = GroupId::from_slice(&[7; 16]).unwrap();
    let mut more = 0;
    for hole in (0..frames).step_by(3) {
        let files = after_a_hole(&sample.files, hole, |connection| {
            let sql = "INSERT INTO __livestore_pending SELECT coalesce(max(ordinal), 0) + 1, \
                       ?1, 0, 1, 0, ?1, 'v1.TodoCreated', '{\"id\":\"new\",\"text\":\"new\"}', \
                       'session', NULL, NULL FROM __livestore_pending";
            connection.execute(sql, [new.as_bytes()]).unwrap();
        });
        let sqlite = as_sqlite_reads(&files).expect("SQLite has written it");
        let recovered = recovered(&files);
        let content = &recovered.content;
        assert_eq!(content.confirmed, sqlite.confirmed, "hole {hole}");
        for (group, client_only) in &sqlite.pending {
            let is_kept = content.pending.contains(&(group.clone(), *client_only));
            assert!(is_kept, "hole {hole}: {} is lost", group.id());
        }
        // What only the lost transactions held is kept as well, as it was, and named.
        let uncertain: HashSet<_> = recovered.report.uncertain.iter().map(|u| u.id).collect();
        for (group, client_only) in &content.pending {
            let was = sample.content.pending.iter().find(|(was, _)| was.id() == group.id());
            let is_as_it_was = was.is_some_and(|was| was == &(group.clone(), *client_only));
            assert!(is_as_it_was || group.id() == new, "hole {hole}: {} is made up", group.id());
            let is_proven = sqlite.pending.iter().any(|(proven, _)| proven == group);
            assert!(is_proven || uncertain.contains(&group.id()), "hole {hole}: not named");
            more += usize::from(!is_proven);
        }
        assert_state_is_replay(&recovered.open());
    }
    assert!(more > 50, "{more} groups more than SQLite finds");
}

#[test]
fn a_frame_that_is_damaged_after_a_checkpoint_costs_nothing() {
    // The database holds everything already, but SQLite would take old images from the log.
    let sample = Sample::with(12, false);
    let folder = tempfile::tempdir().unwrap();
    let path = sample.files.write(folder.path());
    let connection = Connection::open(&path).unwrap();
    let pragma = "PRAGMA wal_checkpoint(PASSIVE)";
    connection.query_row(pragma, [], |_| Ok(())).unwrap();
    let files = Files::read(&path);
    assert!(files.wal == sample.files.wal && files.database != sample.files.database);
    for frame in (0..(files.wal.len() - 32) / (PAGE + 24)).step_by(5) {
        let mut files = files.clone();
        let begin = 32 + frame * (PAGE + 24);
        files.wal[begin + 24..begin + PAGE].fill(0x99);
        let recovered = recovered(&files);
        assert_nothing_invented(&sample.content, &recovered);
        assert_all_named(&sample.content, &recovered);
        assert_eq!(recovered.content, sample.content, "frame {frame}: {:?}", recovered.report);
    }
}

#[test]
fn a_client_only_group_of_a_lost_transaction_is_not_kept_in_part() {
    let mut net = crate::backend::Net::on_disk(schema(), 1);
    net.commit(0, noted("before"));
    net.checkpoint(0, false);
    for number in 0..30 {
        net.commit(0, [0, 1, 2].map(|part| noted(&format!("note-{number}-{part}"))));
    }
    let whole = Files::read(net.clients[0].file());
    let was = Content::read(&whole.write(tempfile::tempdir().unwrap().path())).client_only;
    assert_eq!(was.len(), 31);
    let id = GroupId::from_slice(&[7; 16]).unwrap();
    let mut named = 0;
    for hole in 0..(whole.wal.len() - 32) / (PAGE + 24) {
        let files = after_a_hole(&whole, hole, |connection| {
            let sql = "INSERT INTO __livestore_client_log \
                       SELECT 0, max(client) + 1, ?1, ?1, 'v1.Noted', '{\"id\":\"new\"}', 'session' \
                       FROM __livestore_client_log";
            connection.execute(sql, [id.as_bytes()]).unwrap();
        });
        let sqlite = as_sqlite_reads(&files).expect("SQLite has written it");
        let recovered = recovered(&files);
        let kept = &recovered.content.client_only;
        assert!(sqlite.client_only.iter().all(|group| kept.contains(group)), "hole {hole}");
        let is_whole = |group: &Group| group.id() == id || was.contains(group);
        assert!(kept.iter().all(is_whole), "hole {hole}: a group is not as it was");
        named += recovered.report.lost.len();
        assert_state_is_replay(&recovered.open());
    }
    assert!(named > 30, "{named} groups are named as lost");
}

#[test]
fn the_wal_can_end_anywhere_and_have_no_header() {
    let sample = Sample::with(24, false);
    let len = sample.files.wal.len();
    for end in (0..len).step_by(len / 40) {
        let mut files = sample.files.clone();
        files.wal.truncate(end);
        let recovered = recovered(&files);
        assert_nothing_invented(&sample.content, &recovered);
        let sqlite = as_sqlite_reads(&files).unwrap();
        assert_eq!(recovered.content, sqlite, "cut at {end}");
        assert_state_is_replay(&recovered.open());
    }
    let mut files = sample.files.clone();
    files.wal[..32].fill(0);
    let recovered = recovered(&files);
    assert_eq!(recovered.content.pending, sample.content.pending);
    assert_eq!(recovered.content.confirmed, sample.content.confirmed);
    assert!(as_sqlite_reads(&files).unwrap().pending.len() < sample.content.pending.len());
}
