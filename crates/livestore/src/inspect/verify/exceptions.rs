//! Dead letters, quarantine and archive: rows that can be read, about what there is.

use livestore_core::GlobalSeqNum;
use livestore_sqlite::params;

use super::{Check, Checker, VerifyError, group_name, key};
use crate::inspect::rows::{ArchivedRow, Flaw, MetaRow, QuarantinedRow};
use crate::replica::DeadLetter;

impl Checker<'_> {
    /// Checks that each dead letter can be read, and is not pending at the same time.
    pub(super) fn check_dead_letters(&mut self) -> Result<(), VerifyError> {
        self.each_row(Check::DeadLetters, "group_id", |this, values, row| {
            this.report.counted.dead_letters += 1;
            let row: Result<DeadLetter, Flaw> = row;
            if let Err(flaw) = row {
                let place = format!("group {}", group_name(values[0].as_sql()));
                this.add(Check::DeadLetters, place, flaw.to_string());
            }
        })?;
        let sql = "SELECT group_id, ordinal FROM __livestore_pending AS own \
                   WHERE event_index = 0 AND EXISTS (SELECT 1 FROM __livestore_dead_letter \
                   AS letter WHERE letter.group_id = own.group_id)";
        self.find(Check::DeadLetters, "the dead letters", sql, [], |row| {
            let place = format!("group {}", group_name(row.get_ref(0)?));
            Ok((place, format!("it is pending as well, at ordinal {}", row.get::<_, i64>(1)?)))
        })?;
        let sql = "SELECT group_id FROM __livestore_forgotten WHERE length(group_id) <> 16";
        self.find(Check::DeadLetters, "the forgotten dead letters", sql, [], |row| {
            let place = format!("group {}", group_name(row.get_ref(0)?));
            Ok((place, "it was forgotten, and is no group id".into()))
        })
    }

    /// Checks that quarantined events are in a log, under the same name, and have been reached.
    pub(super) fn check_quarantine(&mut self, meta: Option<&MetaRow>) -> Result<(), VerifyError> {
        let connection = self.connection;
        self.each_row(Check::Quarantine, "seq, client", |this, values, row| {
            this.report.counted.quarantined += 1;
            let row: QuarantinedRow = match row {
                Ok(row) => row,
                Err(flaw) => {
                    let flaw: Flaw = flaw;
                    this.add(
                        Check::Quarantine,
                        format!("e{}", key(&values[..2])),
                        flaw.to_string(),
                    );
                    return;
                }
            };
            let place = place(row.seq, row.client);
            let sql = "SELECT name FROM __livestore_eventlog WHERE seq = ?1 AND ?2 = 0 \
                       UNION ALL \
                       SELECT name FROM __livestore_client_log WHERE seq = ?1 AND client = ?2";
            let key = params![row.seq.0 as i64, row.client];
            let name = connection.system().query_one(sql, key, |row| row.get::<_, String>(0));
            match name {
                Ok(None) => this.add(Check::Quarantine, place.clone(), "no event stands there"),
                Ok(Some(name)) if name != row.name.as_str() => {
                    let what = format!("the event there is {name}, not {}", row.name);
                    this.add(Check::Quarantine, place.clone(), what);
                }
                // A log that cannot be read is found out about elsewhere.
                Ok(Some(_)) | Err(_) => {}
            }
            if meta.is_some_and(|meta| row.seq > meta.state_head) {
                this.add(Check::Quarantine, place, "it is beyond the state's head");
            }
        })
    }

    /// Checks that each archived group can be read.
    pub(super) fn check_archive(&mut self) -> Result<(), VerifyError> {
        self.each_row(Check::Archive, "id", |this, values, row| {
            this.report.counted.archived += 1;
            let row: Result<ArchivedRow, Flaw> = row;
            if let Err(flaw) = row {
                this.add(Check::Archive, format!("id {}", key(&values[..1])), flaw.to_string());
            }
        })
    }
}

fn place(seq: GlobalSeqNum, client: u32) -> String {
    if client == 0 { seq.to_string() } else { format!("{seq}.{client}") }
}
