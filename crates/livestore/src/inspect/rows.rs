//! What each stored row has to be, whether SQLite read it or not.
//!
//! Nothing is taken on trust here: ids have their length, names are valid, payloads canonical.

use std::fmt;

use livestore_core::{
    BackendId, CanonicalJson, ClientId, ConfirmedGroup, ContentHash, Event, EventId, EventName,
    GlobalSeqNum, Group, GroupId, LogHash, SessionId,
};
use livestore_sqlite::Value;
use livestore_sqlite::raw::TreeKind;
use serde::de::DeserializeOwned;

use crate::replica::format::{Attempt, GivenAnswer};
use crate::replica::pending::Origin;
use crate::replica::{DeadLetter, DeadLetterReason};

/// Why a row cannot be what its table holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flaw {
    column: &'static str,
    what: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.what)
    }
}

/// A row of one of LiveStore's tables.
pub(super) trait StoredRow: Sized {
    const TABLE: &'static str;
    /// The columns in the order of the stored record.
    const COLUMNS: &'static [&'static str];
    /// How many columns the stored record has.
    const STORED: usize = Self::COLUMNS.len();
    /// Whether the table has row ids; then the first column is one.
    const KIND: TreeKind = TreeKind::Table;

    fn read(fields: &mut Fields<'_>) -> Result<Self, Flaw>;

    fn from_values(values: &[Value]) -> Result<Self, Flaw> {
        Self::read(&mut Fields { values, names: Self::COLUMNS, at: 0 })
    }
}

/// The values of a row, taken one after the other.
pub(super) struct Fields<'a> {
    values: &'a [Value],
    names: &'static [&'static str],
    at: usize,
}

impl<'a> Fields<'a> {
    fn next<T>(&mut self, read: impl FnOnce(&'a Value) -> Result<T, String>) -> Result<T, Flaw> {
        let column = self.names.get(self.at).copied().unwrap_or("?");
        let value = self.values.get(self.at);
        self.at += 1;
        let read = value.ok_or_else(|| "it is missing".to_owned()).and_then(read);
        read.map_err(|what| Flaw { column, what })
    }

    fn integer(&mut self) -> Result<i64, Flaw> {
        self.next(|value| match value {
            Value::Integer(value) => Ok(*value),
            other => Err(format!("expected an integer, found {}", other.kind())),
        })
    }

    fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Flaw>,
    ) -> Result<Option<T>, Flaw> {
        if matches!(self.values.get(self.at), Some(Value::Null)) {
            self.at += 1;
            return Ok(None);
        }
        read(self).map(Some)
    }

    fn number<T: TryFrom<i64>>(&mut self) -> Result<T, Flaw> {
        let at = self.at;
        let value = self.integer()?;
        let out_of_range = || Flaw { column: self.names[at], what: format!("{value} cannot be") };
        T::try_from(value).map_err(|_| out_of_range())
    }

    fn flag(&mut self) -> Result<bool, Flaw> {
        self.next(|value| match value {
            Value::Integer(0) => Ok(false),
            Value::Integer(1) => Ok(true),
            _ => Err("expected 0 or 1".into()),
        })
    }

    fn blob<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, Flaw> {
        self.next(|value| match value {
            Value::Blob(bytes) => read(bytes).ok_or_else(|| format!("not {what}")),
            other => Err(format!("expected {what}, found {}", other.kind())),
        })
    }

    fn text<T, E: fmt::Display>(
        &mut self,
        read: impl FnOnce(&'a str) -> Result<T, E>,
    ) -> Result<T, Flaw> {
        self.next(|value| match value {
            Value::Text(text) => read(text).map_err(|error| error.to_string()),
            other => Err(format!("expected a text, found {}", other.kind())),
        })
    }

    fn json<T: DeserializeOwned>(&mut self) -> Result<T, Flaw> {
        self.text(|text| serde_json::from_str(text))
    }

    fn seq(&mut self) -> Result<GlobalSeqNum, Flaw> {
        self.number::<u64>().map(GlobalSeqNum)
    }

    fn event_id(&mut self) -> Result<EventId, Flaw> {
        self.blob("an event id of 16 bytes", EventId::from_slice)
    }

    fn group_id(&mut self) -> Result<GroupId, Flaw> {
        self.blob("a group id of 16 bytes", GroupId::from_slice)
    }

    fn log_hash(&mut self) -> Result<LogHash, Flaw> {
        self.blob("a log hash of 32 bytes", LogHash::from_slice)
    }

    fn content_hash(&mut self) -> Result<ContentHash, Flaw> {
        self.blob("a content hash of 32 bytes", ContentHash::from_slice)
    }

    fn backend_id(&mut self) -> Result<BackendId, Flaw> {
        self.blob("a backend id of 16 bytes", BackendId::from_slice)
    }

    fn event(&mut self, id: EventId) -> Result<Event, Flaw> {
        let name = self.text(EventName::new)?;
        let args = self.text(CanonicalJson::parse)?;
        Ok(Event { id, name, args })
    }
}

/// A row of `__livestore_meta`, with everything as it is stored.
#[derive(Debug, Clone)]
pub(super) struct MetaRow {
    pub(super) store_id: livestore_core::StoreId,
    pub(super) client_id: ClientId,
    pub(super) state_version: Vec<u8>,
    pub(super) backend_id: Option<BackendId>,
    pub(super) head: GlobalSeqNum,
    pub(super) head_hash: LogHash,
    pub(super) state_head: GlobalSeqNum,
    pub(super) rebuild_client: Option<u32>,
    pub(super) rebuild_ordinal: Option<i64>,
    pub(super) generation: u32,
    pub(super) rebases: u64,
    pub(super) synced_at: Option<u64>,
    pub(super) revision_due: bool,
    pub(super) republished: Option<GlobalSeqNum>,
    pub(super) answer: Option<GivenAnswer>,
    pub(super) attempt: Option<Attempt>,
}

impl StoredRow for MetaRow {
    const TABLE: &'static str = "__livestore_meta";
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "store_id",
        "client_id",
        "state_version",
        "backend_id",
        "head",
        "head_hash",
        "state_head",
        "rebuild_client",
        "rebuild_ordinal",
        "generation",
        "rebases",
        "synced_at",
        "revision_due",
        "republished",
        "answer",
        "attempt_base",
        "attempt_events",
    ];

    fn read(fields: &mut Fields<'_>) -> Result<Self, Flaw> {
        fields.number::<u8>()?;
        Ok(Self {
            store_id: fields.text(livestore_core::StoreId::new)?,
            client_id: fields.text(ClientId::new)?,
            state_version: fields.blob("a state version", |bytes| Some(bytes.to_vec()))?,
            backend_id: fields.optional(Fields::backend_id)?,
            head: fields.seq()?,
            head_hash: fields.log_hash()?,
            state_head: fields.seq()?,
            rebuild_client: fields.optional(Fields::number)?,
            rebuild_ordinal: fields.optional(Fields::integer)?,
            generation: fields.number()?,
            rebases: fields.number()?,
            synced_at: fields.optional(Fields::number)?,
            revision_due: fields.flag()?,
            republished: fields.optional(Fields::seq)?,
            answer: fields.optional(Fields::json)?,
            attempt: {
                let base = fields.optional(Fields::seq)?;
                let events = fields.optional(Fields::number)?;
                base.zip(events).map(|(base, events)| Attempt { base, events })
            },
        })
    }
}

/// A row of the confirmed log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConfirmedRow {
    pub(super) seq: GlobalSeqNum,
    pub(super) event: Event,
    pub(super) group_id: GroupId,
    pub(super) client_id: ClientId,
    pub(super) session_id: SessionId,
    pub(super) log_hash: Option<LogHash>,
    /// What a group's last row has if it was submitted with another content.
    pub(super) submitted: Option<ContentHash>,
}

impl StoredRow for ConfirmedRow {
    const TABLE: &'static str = "__livestore_eventlog";
    const COLUMNS: &'static [&'static str] = &[
        "seq",
        "event_id",
        "group_id",
        "name",
        "args",
        "client_id",
        "session_id",
        "log_hash",
        "submitted",
    ];

    fn read(fields: &mut Fields<'_>) -> Result<Self, Flaw> {
        let seq = fields.seq()?;
        let (event_id, group_id) = (fields.event_id()?, fields.group_id()?);
        Ok(Self {
            seq,
            event: fields.event(event_id)?,
            group_id,
            client_id: fields.text(ClientId::new)?,
            session_id: fields.text(SessionId::new)?,
            log_hash: fields.optional(Fields::log_hash)?,
            submitted: fields.optional(Fields::content_hash)?,
        })
    }
}

/// A row of the client log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientOnlyRow {
    pub(super) seq: GlobalSeqNum,
    pub(super) client: u32,
    pub(super) event: Event,
    pub(super) group_id: GroupId,
    pub(super) session_id: SessionId,
}

impl StoredRow for ClientOnlyRow {
    const TABLE: &'static str = "__livestore_client_log";
    const COLUMNS: &'static [&'static str] =
        &["seq", "client", "event_id", "group_id", "name", "args", "session_id"];
    const KIND: TreeKind = TreeKind::Index;

    fn read(fields: &mut Fields<'_>) -> Result<Self, Flaw> {
        let (seq, client) = (fields.seq()?, fields.number()?);
        if client == 0 {
            return Err(Flaw { column: "client", what: "0 cannot be".into() });
        }
        let (event_id, group_id) = (fields.event_id()?, fields.group_id()?);
        let event = fields.event(event_id)?;
        Ok(Self { seq, client, event, group_id, session_id: fields.text(SessionId::new)? })
    }
}

/// A row of the pending tail, without its undo data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PendingRow {
    pub(super) ordinal: i64,
    pub(super) group_id: GroupId,
    pub(super) event_index: u32,
    pub(super) events: Option<u32>,
    pub(super) client_only: bool,
    pub(super) event: Event,
    pub(super) session_id: SessionId,
    /// Where the group comes from, in its first row.
    pub(super) origin: Option<Origin>,
}

impl PendingRow {
    /// Tells whether it is its group's first.
    pub(super) fn is_first(&self) -> bool {
        self.event_index == 0
    }
}

impl StoredRow for PendingRow {
    const TABLE: &'static str = "__livestore_pending";
    /// Undo data comes last and is not read here.
    const COLUMNS: &'static [&'static str] = &[
        "ordinal",
        "group_id",
        "event_index",
        "events",
        "client_only",
        "event_id",
        "name",
        "args",
        "session_id",
        "origin",
    ];
    const STORED: usize = Self::COLUMNS.len() + 1;

    fn read(fields: &mut Fields<'_>) -> Result<Self, Flaw> {
        let ordinal = fields.integer()?;
        let group_id = fields.group_id()?;
        let (event_index, events) = (fields.number()?, fields.optional(Fields::number)?);
        let client_only = fields.flag()?;
        let event_id = fields.event_id()?;
        Ok(Self {
            ordinal,
            group_id,
            event_index,
            events,
            client_only,
            event: fields.event(event_id)?,
            session_id: fields.text(SessionId::new)?,
            origin: fields.optional(Fields::json)?,
        })
    }
}

impl StoredRow for DeadLetter {
    const TABLE: &'static str = "__livestore_dead_letter";
    const COLUMNS: &'static [&'static str] =
        &["group_id", "content", "reason", "rejected_at", "command"];
    const KIND: TreeKind = TreeKind::Index;

    fn read(fields: &mut Fields<'_>) -> Result<Self, Flaw> {
        let id = fields.group_id()?;
        let group: Group = fields.json()?;
        if group.id() != id {
            let what = format!("it holds the group {}, not {id}", group.id());
            return Err(Flaw { column: "content", what });
        }
        let reason: DeadLetterReason = fields.json()?;
        let rejected_at_ms = fields.number()?;
        Ok(Self { group, reason, rejected_at_ms, command: fields.optional(Fields::json)? })
    }
}

/// A row of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ArchivedRow {
    pub(super) id: i64,
    pub(super) backend_id: BackendId,
    pub(super) confirmed: ConfirmedGroup,
}

impl StoredRow for ArchivedRow {
    const TABLE: &'static str = "__livestore_archive";
    const COLUMNS: &'static [&'static str] = &["id", "backend_id", "seq", "content"];

    fn read(fields: &mut Fields<'_>) -> Result<Self, Flaw> {
        let (id, backend_id) = (fields.integer()?, fields.backend_id()?);
        let (first, group) = (fields.seq()?, fields.json()?);
        if first == GlobalSeqNum::ROOT {
            return Err(Flaw { column: "seq", what: "no event stands at e0".into() });
        }
        Ok(Self { id, backend_id, confirmed: ConfirmedGroup { first, group } })
    }
}

/// A row of the quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QuarantinedRow {
    pub(super) seq: GlobalSeqNum,
    pub(super) client: u32,
    pub(super) name: EventName,
}

impl StoredRow for QuarantinedRow {
    const TABLE: &'static str = "__livestore_quarantine";
    const COLUMNS: &'static [&'static str] = &["seq", "client", "name", "unknown", "reason"];
    const KIND: TreeKind = TreeKind::Index;

    fn read(fields: &mut Fields<'_>) -> Result<Self, Flaw> {
        let (seq, client) = (fields.seq()?, fields.number()?);
        let name = fields.text(EventName::new)?;
        fields.flag()?;
        fields.text(|_| Ok::<_, Flaw>(()))?;
        Ok(Self { seq, client, name })
    }
}
