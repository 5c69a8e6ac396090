//! The bank of the app, in SQL: purses, what moves coins, and who decides about that.

use livestore::{
    CommandContext, HandlerError, MaterializeError, MaterializerContext, OnRebase, QueryFailed,
    RebaseContext, SchemaBuilder, Table, Write,
};

use super::facts::{Lent, Paid};
use super::intents::{Collect, Empty, Pay, TooLittle};
use crate::model::bank::{FIRST_COINS, PURSES};

/// A purse that was touched; all others have [`FIRST_COINS`].
#[derive(Table, Debug, Clone, PartialEq, Eq)]
#[table(name = "purses")]
pub(crate) struct Purse {
    #[column(primary_key)]
    pub(crate) purse: i64,
    pub(crate) coins: i64,
}

/// Adds the bank to the app.
pub(super) fn with_bank(builder: SchemaBuilder) -> SchemaBuilder {
    builder
        .table::<Purse>()
        .event(|e: Paid, cx| pay(cx, e.from, e.to, e.coins))
        .event(|e: Lent, cx| pay(cx, e.from, e.to, e.coins))
        .on_rebase(lend_what_is_there)
        .command(|Pay { from, to, coins }: Pay, cx: &CommandContext<'_>| {
            let there = coins_in(cx, from)?;
            if there < coins {
                return Err(HandlerError::Refused(TooLittle { coins: there }));
            }
            Ok(Paid { from, to, coins })
        })
        .command(|Empty { from, to }: Empty, cx: &CommandContext<'_>| {
            let coins = coins_in(cx, from)?;
            if coins <= 0 {
                return Err(HandlerError::Refused(TooLittle { coins }));
            }
            Ok(Paid { from, to, coins })
        })
        .command(collect)
}

fn pay(
    cx: &MaterializerContext<'_>,
    from: u8,
    to: u8,
    coins: i64,
) -> Result<Vec<Write>, MaterializeError> {
    if from == to {
        return Ok(Vec::new());
    }
    let changed = |purse: u8, by: i64| {
        let query = Purse::select().filter(Purse::purse.eq(i64::from(purse))).first();
        let coins = cx.query(&query)?.map_or(FIRST_COINS, |row| row.coins) + by;
        let row = Purse { purse: purse.into(), coins };
        Ok::<Write, MaterializeError>(Purse::insert(row).or_replace().try_into()?)
    };
    Ok(vec![changed(from, -coins)?, changed(to, coins)?])
}

fn coins_in(cx: &CommandContext<'_>, purse: u8) -> Result<i64, QueryFailed> {
    let query = Purse::select().filter(Purse::purse.eq(i64::from(purse))).first();
    Ok(cx.query(&query)?.map_or(FIRST_COINS, |row| row.coins))
}

fn collect(
    Collect { into, coins }: Collect,
    cx: &CommandContext<'_>,
) -> Result<Vec<Paid>, HandlerError<String>> {
    let mut paid = Vec::new();
    for from in (0..PURSES).filter(|from| *from != into) {
        if coins_in(cx, from)? >= coins {
            paid.push(Paid { from, to: into, coins });
        }
    }
    Ok(paid)
}

fn lend_what_is_there(
    Lent { from, to, coins }: Lent,
    cx: &RebaseContext<'_>,
) -> Result<OnRebase<Lent>, QueryFailed> {
    let query = Purse::select().filter(Purse::purse.eq(i64::from(from))).first();
    let there = cx.query(&query)?.map_or(FIRST_COINS, |row| row.coins);
    Ok(match there {
        ..1 => OnRebase::Drop { reason: "nothing to lend".into() },
        there if there < coins => OnRebase::Rewrite(Lent { from, to, coins: there }),
        _ => OnRebase::Keep,
    })
}
