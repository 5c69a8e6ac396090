//! The client log: places without gaps, groups in one piece, nothing beyond the state.

use std::collections::HashSet;

use livestore_core::{GlobalSeqNum, GroupId};

use super::{Check, Checker, VerifyError, group_name, key};
use crate::inspect::rows::{ClientOnlyRow, Flaw, MetaRow};

impl Checker<'_> {
    /// Checks the client log row by row.
    pub(super) fn check_client_log(&mut self, meta: Option<&MetaRow>) -> Result<(), VerifyError> {
        // While the state is derived anew, it stands behind what it will be.
        let limit = meta.map(|meta| match meta.rebuild_client {
            None => meta.state_head,
            Some(_) => meta.head,
        });
        let mut last: Option<(GlobalSeqNum, u32, GroupId)> = None;
        let mut ended: HashSet<GroupId> = HashSet::new();
        self.each_row(Check::ClientLog, "seq, client", |this, values, row| {
            this.report.counted.client_only_events += 1;
            let row: ClientOnlyRow = match row {
                Ok(row) => row,
                Err(flaw) => {
                    let flaw: Flaw = flaw;
                    this.add(Check::ClientLog, format!("e{}", key(&values[..2])), flaw.to_string());
                    return;
                }
            };
            let (seq, client, group) = (row.seq, row.client, row.group_id);
            let place = format!("{seq}.{client}");
            let before = last.filter(|(before, ..)| *before == seq);
            let expected = before.map_or(1, |(_, client, _)| client.saturating_add(1));
            if client != expected {
                let what = format!("expected {seq}.{expected}; places have no gaps");
                this.add(Check::ClientLog, place.clone(), what);
            }
            if before.is_none_or(|(.., before)| before != group) {
                ended.extend(last.map(|(.., before)| before));
                if ended.contains(&group) {
                    let what = format!("group {group} stands in several places");
                    this.add(Check::ClientLog, place.clone(), what);
                }
            }
            if limit.is_some_and(|limit| seq > limit) {
                this.add(Check::ClientLog, place, "it is beyond the state's head");
            }
            last = Some((seq, client, group));
        })?;
        let sql = "SELECT own.ordinal, own.group_id FROM __livestore_pending AS own \
                   WHERE own.event_index = 0 AND EXISTS (SELECT 1 FROM __livestore_client_log \
                   AS log WHERE log.group_id = own.group_id)";
        self.find(Check::ClientLog, "the client log", sql, [], |row| {
            let (ordinal, id): (i64, _) = (row.get(0)?, group_name(row.get_ref(1)?));
            let what = format!("group {id} is pending as well, at ordinal {ordinal}");
            Ok(("the client log".into(), what))
        })
    }
}
