//! The server's end of a connection: who is there, and how far the client is behind the log.

use livestore_core::protocol::{ClientMessage, Goodbye, ServerMessage, Token};
use livestore_server::session::{self, Introduction, Opening, Session};
use livestore_server::{AppendRequest, LogStorage, NoRules};

use super::pushes::Pushing;
use crate::action::Way;
use crate::checks::{self, Append, Violation, violation};
use crate::sometimes::Point;
use crate::world::net::{Body, Link, LinkId};
use crate::world::{Effect, World};

/// The server's end of a connection.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    introduction: Introduction,
    /// What the client has shown.
    token: Option<Token>,
    pub(crate) session: Option<Session>,
    pub(crate) pushing: Option<Pushing>,
    /// A request that arrived meanwhile; nothing is read while there is one.
    pub(super) next: Option<(u64, AppendRequest)>,
}

impl World {
    /// A message, or the end of the connection, reaches the server.
    ///
    /// Returns false if it is not read now.
    pub(crate) fn server_hears(&mut self, id: LinkId, body: &Body) -> Result<bool, Violation> {
        let Body::Frame(frame) = body else {
            self.end_conversation(id, None)?;
            return Ok(true);
        };
        let conversation = self.conversation_mut(id).expect("somebody listens");
        if conversation.next.is_some() {
            return Ok(false);
        }
        let heard = ClientMessage::decode(frame).map_err(session::protocol_error);
        let outcome = match heard {
            Err(goodbye) => Err(goodbye),
            Ok(message) => self.server_takes(id, message)?,
        };
        if let Err(goodbye) = outcome {
            self.end_conversation(id, Some(goodbye))?;
        }
        Ok(true)
    }

    fn server_takes(
        &mut self,
        id: LinkId,
        message: ClientMessage,
    ) -> Result<Result<(), Goodbye>, Violation> {
        let conversation = self.conversation_mut(id).expect("somebody listens");
        if let Some(session) = conversation.session {
            let push = match session.hear(message) {
                Ok(push) => push,
                Err(goodbye) => return Ok(Err(goodbye)),
            };
            let request = push.request;
            let append = match session.push(&self.server.store_id, push) {
                Ok(append) => append,
                Err(goodbye) => return Ok(Err(goodbye)),
            };
            let conversation = self.conversation_mut(id).expect("somebody listens");
            if conversation.pushing.is_some() {
                conversation.next = Some((request, append));
                return Ok(Ok(()));
            }
            return self.begin_push(id, request, append).map(Ok);
        }
        let opening = match conversation.introduction.hear(message) {
            Ok(opening) => opening,
            Err(goodbye) => return Ok(Err(goodbye)),
        };
        if let Opening::Authenticate(token) = opening {
            conversation.token = Some(token);
            return Ok(Ok(()));
        }
        let token = conversation.token.clone();
        if let Err(error) = self.server.authenticate(token.as_ref()) {
            self.hit(Point::NotLetIn);
            return Ok(Err(session::not_let_in(error)));
        }
        self.introduce(id, &opening)
    }

    fn introduce(
        &mut self,
        id: LinkId,
        opening: &Opening,
    ) -> Result<Result<(), Goodbye>, Violation> {
        let question = match opening {
            Opening::Authenticate(_) => return Ok(Ok(())),
            Opening::Locate(locate) => Introduction::question(locate),
            Opening::Hello(hello) => {
                self.supersede_others(id)?;
                // Somebody else had the turn then, and the server may have died of it.
                if self.conversation_mut(id).is_none() {
                    return Ok(Ok(()));
                }
                Session::question(hello)
            }
        };
        if let Opening::Hello(_) = opening
            && !self.settle_append_of(id.client)
        {
            let is_alive = self.server.process.is_some();
            return Ok(if is_alive { Err(session::storage_failed()) } else { Ok(()) });
        }
        let Ok(view) = self.server.view(&question) else {
            return Ok(Err(session::storage_failed()));
        };
        let backend_id = self.server.process.as_ref().expect("it is running").storage.backend_id();
        let message = match opening {
            Opening::Authenticate(_) => return Ok(Ok(())),
            Opening::Locate(locate) => match Introduction::locate(locate, backend_id, &view) {
                Ok(located) => ServerMessage::Located(located),
                Err(goodbye) => return Ok(Err(goodbye)),
            },
            Opening::Hello(hello) => match Session::open(hello, backend_id, &view) {
                Ok((session, welcome)) => {
                    checks::welcome(&self.model, backend_id, hello, &welcome)?;
                    let conversation = self.conversation_mut(id).expect("somebody listens");
                    conversation.session = Some(session);
                    self.note_welcome(id, &welcome);
                    ServerMessage::Welcome(welcome)
                }
                Err(goodbye) => {
                    checks::refused(&self.model, backend_id, hello, &goodbye)?;
                    return Ok(Err(goodbye));
                }
            },
        };
        self.say(id, &message);
        self.tell_behind(id);
        Ok(Ok(()))
    }

    /// A client says hello: its other conversations are over, and no push of theirs is taken.
    fn supersede_others(&mut self, id: LinkId) -> Result<(), Violation> {
        let links = self.clients[id.client].links.iter();
        let is_other = |(serial, link): &(u32, &Link)| {
            let session = link.conversation.as_ref().and_then(|talk| talk.session);
            *serial != id.serial && session.is_some()
        };
        let others: Vec<u32> = links.filter(is_other).map(|(serial, _)| serial).collect();
        for serial in others {
            let other = LinkId { client: id.client, serial };
            self.hit(Point::Superseded);
            self.end_conversation(other, Some(session::superseded()))?;
        }
        Ok(())
    }

    /// Makes sure that a push of a client which failed does not come back; tells whether it is.
    fn settle_append_of(&mut self, client: usize) -> bool {
        let is_own = |append: &Append| append.client == client;
        if !self.server.doubtful.as_ref().is_some_and(is_own) {
            return true;
        }
        let process = self.server.process.as_mut().expect("it is running");
        let is_settled = process.storage.append(&[], &NoRules).is_ok();
        if !self.bury_server() && is_settled {
            self.server.doubtful = None;
        }
        is_settled
    }

    /// Lets all conversations know how far the log reaches.
    pub(super) fn spread_growth(&mut self) {
        let head = self.model.current().end().seq;
        for client in 0..self.clients.len() {
            let links = self.clients[client].links.iter_mut();
            let mut behind = Vec::new();
            for (serial, link) in links {
                if let Some(session) = link
                    .conversation
                    .as_mut()
                    .and_then(|conversation| conversation.session.as_mut())
                {
                    session.grown(head);
                    behind.push(serial);
                }
            }
            for serial in behind {
                self.tell_behind(LinkId { client, serial });
            }
        }
    }

    pub(super) fn tell_behind(&mut self, id: LinkId) {
        let session = self.conversation_mut(id).and_then(|conversation| conversation.session);
        if session.is_some_and(|session| session.wants_page().is_some()) {
            self.effects.push(Effect::Behind(id));
        }
    }

    /// The server sends a page, if the client is behind.
    pub(crate) fn send_page(&mut self, id: LinkId) -> Result<bool, Violation> {
        let Some(conversation) = self.conversation_mut(id) else { return Ok(false) };
        let is_pushing = conversation.pushing.is_some();
        let Some(session) = conversation.session else { return Ok(false) };
        let Some(after) = session.wants_page() else { return Ok(false) };
        let page = match self.server.page(after) {
            Ok(Some(page)) => page,
            Ok(None) => return violation("server-page", None, "the log ends before its head"),
            Err(_) => {
                self.end_conversation(id, Some(session::storage_failed()))?;
                return Ok(true);
            }
        };
        checks::page(&self.model, &page)?;
        if is_pushing {
            self.hit(Point::PageBeforeAnswer);
        }
        let mut session = session;
        let message = session.page(page);
        self.conversation_mut(id).expect("somebody listens").session = Some(session);
        self.say(id, &message);
        self.tell_behind(id);
        Ok(true)
    }

    /// Ends a conversation at the server's end, with a last word if it has one.
    pub(crate) fn end_conversation(
        &mut self,
        id: LinkId,
        goodbye: Option<Goodbye>,
    ) -> Result<(), Violation> {
        let is_damaged = self.link_mut(id).is_none_or(|link| link.is_damaged);
        if let Some(goodbye) = goodbye {
            checks::goodbye(&goodbye, is_damaged)?;
            self.say(id, &ServerMessage::Goodbye(goodbye));
        }
        if let Some(link) = self.link_mut(id)
            && link.conversation.take().is_some()
        {
            self.send(id, Way::Down, Body::End);
        }
        self.leave_queue(id)
    }

    pub(super) fn say(&mut self, id: LinkId, message: &ServerMessage) {
        self.send(id, Way::Down, Body::Frame(message.encode()));
    }

    pub(crate) fn conversation_mut(&mut self, id: LinkId) -> Option<&mut Conversation> {
        self.link_mut(id)?.conversation.as_mut()
    }
}
