//! SQLite's locks on a database file, among the connections of one machine.

/// How strongly one connection holds a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Not at all.
    #[default]
    None,
    /// Reads it, beside others.
    Shared,
    /// Is going to write; others still read.
    Reserved,
    /// Waits for the last readers and lets no new ones in.
    Pending,
    /// Writes it, alone.
    Exclusive,
}

/// Another connection is in the way.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Busy;

/// The locks on one file.
#[derive(Debug, Default)]
pub(super) struct FileLocks {
    /// How many connections hold at least [`Level::Shared`].
    sharing: u32,
    /// What the one connection holds that has more than that.
    strongest: Level,
}

impl FileLocks {
    /// Raises what a connection holds; when another is in the way, it may stay at
    /// [`Level::Pending`].
    pub(super) fn raise(&mut self, held: &mut Level, wanted: Level) -> Result<(), Busy> {
        if *held == Level::None && wanted > Level::None {
            if self.strongest >= Level::Pending {
                return Err(Busy);
            }
            self.sharing += 1;
            *held = Level::Shared;
        }
        if wanted <= *held {
            return Ok(());
        }
        if *held == Level::Shared && self.strongest > Level::Shared {
            return Err(Busy);
        }
        if wanted == Level::Exclusive {
            if *held == Level::Reserved {
                self.hold(held, Level::Pending);
            }
            if self.sharing > 1 {
                return Err(Busy);
            }
        }
        self.hold(held, wanted);
        Ok(())
    }

    fn hold(&mut self, held: &mut Level, level: Level) {
        *held = level;
        self.strongest = level;
    }

    /// Lowers what a connection holds, to [`Level::Shared`] or nothing.
    pub(super) fn lower(&mut self, held: &mut Level, wanted: Level) {
        if wanted >= *held {
            return;
        }
        if *held > Level::Shared {
            self.strongest = Level::None;
        }
        if wanted == Level::None {
            self.sharing -= 1;
        }
        *held = wanted;
    }

    /// Tells whether a connection has reserved the file to write it.
    pub(super) fn is_reserved(&self) -> bool {
        self.strongest >= Level::Reserved
    }
}
