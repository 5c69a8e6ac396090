//! The heads: what the meta row says about the rest of the file.

use livestore_core::{GlobalSeqNum, LogHash, LogPosition};
use livestore_sqlite::params;

use super::{Check, Checker, VerifyError};
use crate::inspect::rows::MetaRow;
use crate::replica::format::MAX_REBASES;

/// The length of a state version, in bytes.
const STATE_VERSION_BYTES: usize = 32;

impl Checker<'_> {
    /// Compares the heads with the log, and with each other.
    pub(super) fn check_heads(
        &mut self,
        meta: &MetaRow,
        end: Option<LogPosition>,
    ) -> Result<(), VerifyError> {
        let end = end.unwrap_or(LogPosition::ROOT);
        let last = self.report.counted.last.unwrap_or(GlobalSeqNum::ROOT);
        let MetaRow { head, head_hash, state_head, .. } = *meta;
        let mut add = |what: String| self.add(Check::Heads, "the meta row", what);
        if head != last {
            add(format!("the head is {head}, but the log ends at {last}"));
        } else if end.seq == head && end.hash != head_hash {
            add(format!("the log's hash at {head} is not the one that the log has there"));
        } else if head == GlobalSeqNum::ROOT && head_hash != LogHash::EMPTY {
            add("the log is empty, but its hash is not that of an empty log".into());
        }
        if state_head > head {
            add(format!("the state's head {state_head} is beyond the log's head {head}"));
        }
        if let Some(republished) = meta.republished
            && republished >= head
        {
            add(format!("the log is published anew up to {republished}, and ends at {head}"));
        }
        if let Some(attempt) = meta.attempt
            && attempt.base > head
        {
            add(format!("a push was tried on top of {}, and the log ends at {head}", attempt.base));
        }
        if u64::from(meta.generation) > meta.rebases || meta.rebases > MAX_REBASES {
            let MetaRow { generation, rebases, .. } = meta;
            add(format!("generation {generation} after {rebases} rebases is not possible"));
        }
        if meta.state_version.len() != STATE_VERSION_BYTES {
            let len = meta.state_version.len();
            add(format!("the state version has {len} bytes instead of {STATE_VERSION_BYTES}"));
        }
        match (meta.rebuild_client, meta.rebuild_ordinal) {
            (None, None) => self.check_state_head(meta),
            (None, Some(_)) => {
                add("a rebuild has come to the pending tail, but none is under way".into());
                Ok(())
            }
            (Some(client), Some(_)) => {
                if state_head != head || client != 0 {
                    add("a rebuild has come to the pending tail before the log's end".into());
                }
                Ok(())
            }
            (Some(client), None) => self.check_rebuild(meta, client),
        }
    }

    /// Outside of a rebuild, the state stands at the end of a group.
    fn check_state_head(&mut self, meta: &MetaRow) -> Result<(), VerifyError> {
        let at = meta.state_head;
        if Some(at.next()) <= self.report.counted.first || at == GlobalSeqNum::ROOT {
            return Ok(());
        }
        let sql = "SELECT log_hash IS NOT NULL FROM __livestore_eventlog WHERE seq = ?";
        let end = self.connection.system().query_one(sql, [at.0 as i64], |row| row.get(0));
        match end {
            Ok(Some(false)) => {
                let what = format!("the state's head {at} is in the middle of a group");
                self.add(Check::Heads, "the meta row", what);
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => self.failed(Check::Heads, "the log", error),
        }
    }

    /// A rebuild that stands between client-only events stands at one that is there.
    fn check_rebuild(&mut self, meta: &MetaRow, client: u32) -> Result<(), VerifyError> {
        if client == 0 {
            return Ok(());
        }
        let sql = "SELECT 1 FROM __livestore_client_log WHERE seq = ? AND client = ?";
        let place = params![meta.state_head.0 as i64, client];
        match self.connection.system().query_one(sql, place, |_| Ok(())) {
            Ok(Some(())) => Ok(()),
            Ok(None) => {
                let what =
                    format!("a rebuild stands at {}.{client}, which is not there", meta.state_head);
                self.add(Check::Heads, "the meta row", what);
                Ok(())
            }
            Err(error) => self.failed(Check::Heads, "the client log", error),
        }
    }
}
