//! The bounds that clients and servers share.
//!
//! A value beyond one of these is refused where it enters, so that no later hop meets it.

/// Largest canonical payload of one event, in bytes (1 MiB).
pub const MAX_ARGS_BYTES: usize = 1 << 20;

/// Most events that one group may hold.
pub const MAX_GROUP_EVENTS: usize = 10_000;

/// Largest group, in bytes of payloads, names and ids (4 MiB).
///
/// A group travels whole, so it has to fit one frame with room for its envelope.
pub const MAX_GROUP_BYTES: usize = 4 << 20;

/// Largest frame on the wire, in bytes (16 MiB).
///
/// Four times [`MAX_GROUP_BYTES`]: a page or push is cut at [`PAGE_BYTES`] and then exceeds it by
/// at most one group; names and ids are JSON-escaped around the payload.
pub const MAX_FRAME_BYTES: usize = 16 << 20;

/// Size at which a page or a push is cut, in bytes of payload (256 KiB).
pub const PAGE_BYTES: usize = 256 << 10;

/// Number of events at which a page or a push is cut.
pub const PAGE_EVENTS: usize = 256;

/// Most group ids that a client asks about when it connects.
///
/// It has at most one push in flight, and a push holds at most this many groups.
pub const MAX_ATTEMPTED_GROUPS: usize = PAGE_EVENTS;

/// Most positions that a client asks about in one locate message.
pub const MAX_LOCATE_POSITIONS: usize = 256;

/// Most locate messages of one conversation.
///
/// Each narrows a search by a factor of [`MAX_LOCATE_POSITIONS`], so half of them would do for the
/// longest log that there can be.
pub const MAX_LOCATES: usize = 16;

/// Most protocol versions that a client offers.
pub const MAX_VERSIONS: usize = 16;

/// Longest message before the end of the introduction, in bytes (128 KiB).
///
/// The longest that there can be is a token of [`MAX_TOKEN_BYTES`] of which JSON escapes each byte
/// as six. A locate message of [`MAX_LOCATE_POSITIONS`] is less than half of it.
pub const MAX_OPENING_BYTES: usize = 128 << 10;

/// Longest event name, in bytes.
pub const MAX_EVENT_NAME_BYTES: usize = 128;

/// Longest store id, in bytes.
pub const MAX_STORE_ID_BYTES: usize = 64;

/// Longest client or session id, in bytes.
pub const MAX_AUTHOR_BYTES: usize = 128;

/// Longest token that a client shows, in bytes (16 KiB).
pub const MAX_TOKEN_BYTES: usize = 16 << 10;
