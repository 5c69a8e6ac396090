//! LiveStore's file of an exported log, read and written an event at a time.
//!
//! One JSON object: `version` 1, `storeId`, `exportedAt`, `eventCount`, and `events`. Beside LiveStore's
//! members, an event of ours has its `id`, and its `group`: the id that all events of a commit share, which
//! stand one behind the other.

use std::fmt;
use std::io::{BufRead, Write};

use livestore_cf_protocol::{CfEvent, events_of};
use livestore_core::limits::MAX_GROUP_EVENTS;
use livestore_core::{ConfirmedGroup, EventId, Group, GroupId, StoreId};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::output::Outcome;

/// An event of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileEvent {
    #[serde(flatten)]
    event: CfEvent,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<EventId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<GroupId>,
}

/// Writes a log.
pub(crate) struct LogWriter<W> {
    out: W,
    events: u64,
}

impl<W: Write> LogWriter<W> {
    /// Begins with what comes before the events; `exported_at` is a time as JavaScript writes it.
    pub(crate) fn begin(mut out: W, store_id: &StoreId, exported_at: &str) -> Outcome<Self> {
        // Store ids have nothing that JSON would escape.
        write!(
            out,
            "{{\"version\":1,\"storeId\":\"{store_id}\",\"exportedAt\":\"{exported_at}\","
        )?;
        write!(out, "\"events\":[")?;
        Ok(Self { out, events: 0 })
    }

    /// Writes a group; holes stay holes.
    pub(crate) fn group(&mut self, confirmed: &ConfirmedGroup) -> Outcome {
        let group = Some(confirmed.group.id());
        for (event, own) in events_of(confirmed).zip(confirmed.group.events()) {
            if own.is_missing() {
                // It stands for a hole in the log that this one came from.
                continue;
            }
            self.out.write_all(if self.events == 0 { b"\n" } else { b",\n" })?;
            serde_json::to_writer(&mut self.out, &FileEvent { event, id: Some(own.id), group })?;
            self.events += 1;
        }
        Ok(())
    }

    /// Ends the file; returns how many events it has.
    pub(crate) fn end(mut self) -> Outcome<u64> {
        // How many there are is known only now: who has a store open may have committed meanwhile.
        writeln!(self.out, "\n],\"eventCount\":{}}}", self.events)?;
        self.out.flush()?;
        Ok(self.events)
    }
}

/// What a file says besides its events.
#[derive(Debug, Default)]
pub(crate) struct Header {
    pub(crate) store_id: Option<String>,
    pub(crate) event_count: Option<u64>,
}

/// Reads a log, and hands over its groups in order.
///
/// The closure gets each group, and the header as far as it has been read by then.
pub(crate) fn read_log(
    input: impl BufRead,
    mut each: impl FnMut(&Header, Group) -> Outcome,
) -> Outcome<Header> {
    let (mut header, mut failure) = (Header::default(), None);
    let mut groups = Groups::default();
    let mut deserializer = serde_json::Deserializer::from_reader(input);
    let reader = FileReader { header: &mut header, groups: &mut groups, each: &mut each };
    let read = reader.with_failure(&mut failure).deserialize(&mut deserializer);
    if let Some(failure) = failure {
        return Err(failure);
    }
    read.and_then(|()| deserializer.end())
        .map_err(|error| format!("this is no exported log: {error}"))?;
    if let Some(group) = groups.finish()? {
        each(&header, group)?;
    }
    if header.event_count.is_some_and(|count| count != groups.events) {
        let (said, found) = (header.event_count.unwrap_or(0), groups.events);
        return Err(format!("the file says that it has {said} events, and has {found}").into());
    }
    Ok(header)
}

/// Gathers events into groups.
#[derive(Debug, Default)]
struct Groups {
    /// The events of a group that is not over, and of which group.
    open: Vec<FileEvent>,
    events: u64,
    last_seq: u64,
}

impl Groups {
    /// Takes the next event; returns the group that was over with the one before.
    fn take(&mut self, event: FileEvent) -> Outcome<Option<Group>> {
        let (before, found) = (self.last_seq, event.event.seq_num);
        // LiveStore's logs may have holes.
        if found <= before {
            return Err(format!("event {found} stands behind event {before}").into());
        }
        self.last_seq = found;
        if self.open.len() > MAX_GROUP_EVENTS {
            let message = format!("the group at {before} has more than {MAX_GROUP_EVENTS} events");
            return Err(message.into());
        }
        let mut over = None;
        let continues = |before: &FileEvent| event.group.is_some() && before.group == event.group;
        if !self.open.first().is_some_and(continues) {
            over = self.finish()?;
        }
        self.events += 1;
        self.open.push(event);
        Ok(over)
    }

    fn finish(&mut self) -> Outcome<Option<Group>> {
        let open = std::mem::take(&mut self.open);
        let Some(first) = open.first() else { return Ok(None) };
        let seq = first.event.seq_num;
        let group = first.group;
        let mut events = Vec::with_capacity(open.len());
        let (mut id, mut author) = (None, None);
        for FileEvent { event, id: own_id, .. } in open {
            let stamped = livestore_cf_protocol::Stamped { event_encoded: event, metadata: None };
            // Ids that are missing follow from what the event is, so that it is the same another time.
            let single = stamped.into_group("an exported log")?;
            let (client, session) = (single.client_id().clone(), single.session_id().clone());
            if author.get_or_insert_with(|| (client.clone(), session.clone())) != &(client, session)
            {
                return Err(format!("the group at {seq} is one of several authors").into());
            }
            id.get_or_insert(single.id());
            let mut event = single.events()[0].clone();
            event.id = own_id.unwrap_or(event.id);
            events.push(event);
        }
        let (Some(id), Some((client, session))) = (group.or(id), author) else { return Ok(None) };
        let group = Group::new(id, client, session, events);
        Ok(Some(group.map_err(|error| format!("the group at {seq}: {error}"))?))
    }
}

/// Reads the whole object.
struct FileReader<'a, F> {
    header: &'a mut Header,
    groups: &'a mut Groups,
    each: &'a mut F,
}

/// The same, with a place for an error that serde's could not carry.
struct Failing<'a, 'b, F> {
    reader: FileReader<'a, F>,
    failure: &'b mut Option<Box<dyn std::error::Error>>,
}

impl<'a, F> FileReader<'a, F> {
    fn with_failure<'b>(
        self,
        failure: &'b mut Option<Box<dyn std::error::Error>>,
    ) -> Failing<'a, 'b, F> {
        Failing { reader: self, failure }
    }
}

impl<'de, F: FnMut(&Header, Group) -> Outcome> DeserializeSeed<'de> for Failing<'_, '_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(&Header, Group) -> Outcome> Visitor<'de> for Failing<'_, '_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with version, storeId and events")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { reader: FileReader { header, groups, each }, failure } = self;
        let (mut has_version, mut has_events) = (false, false);
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "version" => {
                    let version: serde_json::Value = map.next_value()?;
                    if version != 1 {
                        return Err(de::Error::custom(format!(
                            "version {version} of the format is not known here"
                        )));
                    }
                    has_version = true;
                }
                "storeId" => header.store_id = Some(map.next_value()?),
                "eventCount" => header.event_count = Some(map.next_value()?),
                "events" if has_events => return Err(de::Error::duplicate_field("events")),
                "events" => {
                    has_events = true;
                    map.next_value_seed(Events { header, groups, each: &mut *each, failure })?;
                }
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        if !has_version {
            return Err(de::Error::missing_field("version"));
        }
        if has_events { Ok(()) } else { Err(de::Error::missing_field("events")) }
    }
}

/// Reads the events.
struct Events<'a, 'b, F> {
    header: &'a Header,
    groups: &'a mut Groups,
    each: &'a mut F,
    failure: &'b mut Option<Box<dyn std::error::Error>>,
}

impl<'de, F: FnMut(&Header, Group) -> Outcome> DeserializeSeed<'de> for Events<'_, '_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(&Header, Group) -> Outcome> Visitor<'de> for Events<'_, '_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { header, groups, each, failure } = self;
        while let Some(event) = seq.next_element::<FileEvent>()? {
            let over = groups.take(event);
            let done = over.and_then(|over| over.map_or(Ok(()), |group| each(header, group)));
            if let Err(error) = done {
                let message = error.to_string();
                *failure = Some(error);
                return Err(de::Error::custom(message));
            }
        }
        Ok(())
    }
}
