//! Connections: two queues of messages, and who still holds an end.

use std::collections::{BTreeMap, VecDeque};

use crate::action::Way;
use crate::world::server::Conversation;

/// Names one connection for the whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LinkId {
    pub(crate) client: usize,
    pub(crate) serial: u32,
}

impl std::fmt::Display for LinkId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "client {} connection {}", self.client, self.serial)
    }
}

/// What is on a wire.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    /// Names it for the whole run.
    pub(crate) number: u64,
    pub(crate) body: Body,
}

#[derive(Debug, Clone)]
pub(crate) enum Body {
    Frame(String),
    /// The sender has closed its end.
    End,
}

/// One connection, until nobody cares for it any more.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) up: VecDeque<Packet>,
    pub(crate) down: VecDeque<Packet>,
    /// The client still listens.
    pub(crate) is_open: bool,
    /// The server still listens.
    pub(crate) conversation: Option<Conversation>,
    /// A message was lost or changed its place, so that this connection may never recover.
    pub(crate) is_damaged: bool,
}

impl Link {
    pub(crate) fn new() -> Self {
        let (up, down) = (VecDeque::new(), VecDeque::new());
        let conversation = Some(Conversation::default());
        Self { up, down, is_open: true, conversation, is_damaged: false }
    }

    pub(crate) fn queue(&self, way: Way) -> &VecDeque<Packet> {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }

    pub(crate) fn queue_mut(&mut self, way: Way) -> &mut VecDeque<Packet> {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    fn is_over(&self) -> bool {
        !self.is_open && self.conversation.is_none()
    }
}

/// All connections that a client has made and that still matter.
#[derive(Debug, Default)]
pub(crate) struct Links {
    newest: u32,
    links: BTreeMap<u32, Link>,
}

impl Links {
    /// Opens a connection.
    pub(crate) fn open(&mut self) -> u32 {
        self.links.retain(|_, link| !link.is_over());
        self.newest += 1;
        self.links.insert(self.newest, Link::new());
        self.newest
    }

    /// Returns the serial of the connection that was opened so many connections ago.
    pub(crate) fn serial(&self, ago: u32) -> u32 {
        self.newest.saturating_sub(ago)
    }

    /// Tells how many connections ago one was opened.
    pub(crate) fn ago(&self, serial: u32) -> u32 {
        self.newest - serial
    }

    /// Returns the serial of the connection that the client has open, if it has one.
    pub(crate) fn current(&self) -> Option<u32> {
        self.links.get(&self.newest).filter(|link| link.is_open).map(|_| self.newest)
    }

    pub(crate) fn get(&self, serial: u32) -> Option<&Link> {
        self.links.get(&serial)
    }

    pub(crate) fn get_mut(&mut self, serial: u32) -> Option<&mut Link> {
        self.links.get_mut(&serial)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Link)> {
        self.links.iter().map(|(serial, link)| (*serial, link))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Link)> {
        self.links.iter_mut().map(|(serial, link)| (*serial, link))
    }
}
