//! One connection to the backend, with what is on the wire.

use std::collections::VecDeque;

use livestore::GlobalSeqNum;
use livestore::protocol::{
    AlreadyAccepted, ClientMessage, GroupRejected, Located, PushAccepted, ServerAhead,
    ServerMessage,
};

use super::log::{Backend, Decision};

/// An open connection: what is on the wire, and what the backend knows of this client.
#[derive(Debug, Default)]
pub struct Line {
    pub up: VecDeque<ClientMessage>,
    pub down: VecDeque<ServerMessage>,
    /// Up to where the client has been sent the log; none before its hello.
    sent: Option<GlobalSeqNum>,
    /// A push that is decided, but not answered yet.
    pub decided: Option<(u64, Decision)>,
}

impl Line {
    /// The backend takes one message; an answer to a push waits for [`Self::answer`].
    pub fn take(&mut self, backend: &mut Backend, message: ClientMessage) {
        match message {
            ClientMessage::Authenticate(_) => panic!("a replica has no token"),
            ClientMessage::Locate(locate) => {
                let common = locate.positions.iter().rfind(|at| backend.has(**at));
                self.down.push_back(ServerMessage::Located(Located {
                    backend_id: backend.id,
                    common: common.map_or(GlobalSeqNum::ROOT, |position| position.seq),
                    head: backend.end().seq,
                }));
            }
            ClientMessage::Hello(hello) => match backend.welcome(&hello) {
                Ok(welcome) => {
                    self.sent = Some(hello.cursor.map_or(GlobalSeqNum::ROOT, |c| c.position.seq));
                    self.down.push_back(ServerMessage::Welcome(welcome));
                }
                Err(goodbye) => self.down.push_back(ServerMessage::Goodbye(goodbye)),
            },
            ClientMessage::Push(push) => {
                assert!(self.decided.is_none(), "a push before the last one was answered");
                self.decided = Some((push.request, backend.decide(push)));
            }
        }
    }

    pub fn answer(&mut self, backend: &Backend) -> bool {
        let Some((request, decision)) = self.decided.take() else { return false };
        let sent = self.sent.expect("a push comes after the hello");
        self.down.push_back(match decision {
            Decision::Rejected(group, reason) => {
                ServerMessage::GroupRejected(GroupRejected { request, group, reason })
            }
            Decision::Already(groups) => {
                ServerMessage::AlreadyAccepted(AlreadyAccepted { request, groups })
            }
            Decision::Ahead => {
                let missing = backend.page_after(sent);
                self.sent = Some(missing.as_ref().map_or(sent, |page| page.end.seq));
                ServerMessage::ServerAhead(ServerAhead { request, missing })
            }
            Decision::Appended { first, end } => {
                // If own groups were sent in a page already, the pages go on from there.
                if first == sent.next() {
                    self.sent = Some(end.seq);
                }
                ServerMessage::PushAccepted(PushAccepted { request, first, end })
            }
        });
        true
    }

    pub fn send_page(&mut self, backend: &Backend) -> bool {
        let page = self.sent.and_then(|sent| backend.page_after(sent));
        let Some(page) = page else { return false };
        self.sent = Some(page.end.seq);
        self.down.push_back(ServerMessage::Page(page));
        true
    }
}
