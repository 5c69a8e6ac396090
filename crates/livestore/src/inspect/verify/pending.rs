//! The pending tail: whole groups under consecutive ordinals, each with its undo data.

use std::collections::HashSet;

use livestore_core::{Event, Group, GroupId, SessionId};
use livestore_sqlite::{Preimages, SqliteError};

use super::{Check, Checker, VerifyError, flaw_of_group, group_name, key};
use crate::inspect::rows::{Flaw, MetaRow, PendingRow};

/// A group whose rows are coming in.
struct Open {
    first: i64,
    id: GroupId,
    client_only: bool,
    session_id: SessionId,
    expected: u32,
    events: Vec<Event>,
}

impl Checker<'_> {
    /// Checks the tail row by row.
    pub(super) fn check_pending(&mut self, meta: Option<&MetaRow>) -> Result<(), VerifyError> {
        let mut open: Option<Open> = None;
        let mut seen = HashSet::new();
        self.each_row(Check::Pending, "ordinal", |this, values, row| {
            this.report.counted.pending_events += 1;
            match row {
                Ok(row) => this.check_pending_row(&mut open, &mut seen, row, meta),
                Err(flaw) => {
                    let flaw: Flaw = flaw;
                    let place = format!("ordinal {}", key(&values[..1]));
                    this.add(Check::Pending, place, flaw.to_string());
                    open = None;
                }
            }
        })?;
        if let Some(open) = open {
            self.end_of_group(open, meta);
        }
        if let Some(meta) = meta {
            self.check_not_both(meta)?;
        }
        self.check_index()?;
        self.check_undo()
    }

    /// Compares the index by id with the tail: it may lack the newest groups, and nothing else.
    fn check_index(&mut self) -> Result<(), VerifyError> {
        let sql = "SELECT ordinal, group_id FROM __livestore_pending_group AS entry \
                   WHERE NOT EXISTS (SELECT 1 FROM __livestore_pending AS own \
                   WHERE own.ordinal = entry.ordinal AND own.group_id = entry.group_id \
                   AND own.event_index = 0 AND own.events = entry.events \
                   AND own.client_only = entry.client_only)";
        self.find(Check::Pending, "the index by id", sql, [], |row| {
            let what = format!(
                "the index by id has group {} here, the tail has not",
                group_name(row.get_ref(1)?)
            );
            Ok((format!("ordinal {}", row.get::<_, i64>(0)?), what))
        })?;
        let sql = "SELECT ordinal, group_id FROM __livestore_pending WHERE event_index = 0 \
                   AND ordinal <= (SELECT max(ordinal) FROM __livestore_pending_group) \
                   AND group_id NOT IN (SELECT group_id FROM __livestore_pending_group)";
        self.find(Check::Pending, "the tail", sql, [], |row| {
            let what = format!("the index by id lacks group {}", group_name(row.get_ref(1)?));
            Ok((format!("ordinal {}", row.get::<_, i64>(0)?), what))
        })
    }

    fn check_pending_row(
        &mut self,
        open: &mut Option<Open>,
        seen: &mut HashSet<GroupId>,
        row: PendingRow,
        meta: Option<&MetaRow>,
    ) {
        let place = format!("ordinal {}", row.ordinal);
        if row.event_index == 0 {
            if let Some(before) = open.take() {
                self.end_of_group(before, meta);
            }
            self.report.counted.pending_groups += 1;
            if !seen.insert(row.group_id) {
                let what = format!("group {} is in the tail twice", row.group_id);
                self.add(Check::Pending, place.clone(), what);
            }
            let Some(expected) = row.events.filter(|events| *events > 0) else {
                self.add(Check::Pending, place, "the group's number of events is missing");
                return;
            };
            *open = Some(Open {
                first: row.ordinal,
                id: row.group_id,
                client_only: row.client_only,
                session_id: row.session_id,
                expected,
                events: vec![row.event],
            });
            return;
        }
        let fits = open.as_ref().is_some_and(|open| {
            let index = open.events.len() as u32;
            row.group_id == open.id
                && row.event_index == index
                && row.ordinal == open.first + i64::from(index)
                && row.client_only == open.client_only
                && row.session_id == open.session_id
                && row.events.is_none()
                && index < open.expected
        });
        match open {
            Some(open) if fits => open.events.push(row.event),
            _ => {
                let what = format!("the row does not continue group {}", row.group_id);
                self.add(Check::Pending, place, what);
            }
        }
    }

    fn end_of_group(&mut self, open: Open, meta: Option<&MetaRow>) {
        let Open { first, id, session_id, expected, events, .. } = open;
        let place = format!("ordinal {first}");
        if events.len() != expected as usize {
            let what = format!("group {id} has {} of {expected} events", events.len());
            self.add(Check::Pending, place, what);
        } else if let Some(meta) = meta {
            let group = Group::new(id, meta.client_id.clone(), session_id, events);
            if let Some(flaw) = flaw_of_group(&group) {
                self.add(Check::Pending, place, flaw);
            }
        }
    }

    /// Checks that undo data stands in first rows only, and can be read.
    fn check_undo(&mut self) -> Result<(), VerifyError> {
        let sql = "SELECT ordinal, event_index, undo FROM __livestore_pending \
                   WHERE undo IS NOT NULL ORDER BY ordinal";
        let mut flaws = Vec::new();
        let read = self.connection.system().for_each(sql, [], |row| {
            let ordinal: i64 = row.get(0)?;
            let checked = Preimages::check(row.get_ref(2)?.as_blob()?);
            if row.get::<_, i64>(1)? != 0 {
                flaws.push((
                    ordinal,
                    "undo data stands in a row that is not its group's first".into(),
                ));
            } else if let Err(error @ SqliteError::DamagedUndo { .. }) = checked {
                flaws.push((ordinal, error.to_string()));
            }
            Ok(flaws.len() <= super::MAX_LISTED)
        });
        for (ordinal, flaw) in flaws {
            self.add(Check::Pending, format!("ordinal {ordinal}"), flaw);
        }
        match read {
            Ok(()) => Ok(()),
            Err(error) => self.failed(Check::Pending, "undo data", error),
        }
    }
}
