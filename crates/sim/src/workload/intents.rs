//! What a simulated user wants from the bank: commands, whose events depend on the state.

use livestore::{CanonicalJson, Command};
use serde::{Deserialize, Serialize};

/// There is too little in a purse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("there are {coins} coins")]
pub struct TooLittle {
    /// What there is.
    pub coins: i64,
}

/// Pays, if there is enough: the same event in each run, or none.
#[derive(Command, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[command(name = "Pay", error = TooLittle)]
pub struct Pay {
    /// A purse.
    pub from: u8,
    /// A purse.
    pub to: u8,
    /// How much.
    pub coins: i64,
}

/// Pays everything that is in a purse: one event, which depends on the state.
#[derive(Command, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[command(name = "Empty", error = TooLittle)]
pub struct Empty {
    /// A purse.
    pub from: u8,
    /// A purse.
    pub to: u8,
}

/// Takes as much from each purse that has it: as many events, which may be none.
#[derive(Command, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[command(name = "Collect")]
pub struct Collect {
    /// A purse.
    pub into: u8,
    /// How much from each.
    pub coins: i64,
}

/// One command of the app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Intent {
    /// Pays.
    Pay(Pay),
    /// Pays everything.
    Empty(Empty),
    /// Takes from all.
    Collect(Collect),
}

impl Intent {
    /// Returns the command's name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Pay(_) => Pay::NAME,
            Self::Empty(_) => Empty::NAME,
            Self::Collect(_) => Collect::NAME,
        }
    }

    /// Writes the command as it is stored.
    pub(crate) fn args(&self) -> CanonicalJson {
        let args = match self {
            Self::Pay(pay) => CanonicalJson::encode(pay),
            Self::Empty(empty) => CanonicalJson::encode(empty),
            Self::Collect(collect) => CanonicalJson::encode(collect),
        };
        args.expect("numbers have a canonical form")
    }
}
