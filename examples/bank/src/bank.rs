//! The bank: accounts, what happens to them, and what people may want.

use livestore::prelude::*;
use serde::{Deserialize, Serialize};

/// An account.
#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "accounts")]
pub(crate) struct Account {
    #[column(primary_key)]
    pub(crate) id: String,
    pub(crate) balance: i64,
}

/// Somebody has opened an account.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.AccountOpened")]
pub(crate) struct AccountOpened {
    pub(crate) id: String,
    pub(crate) balance: i64,
}

/// Money has gone from one account to another.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.MoneyMoved")]
pub(crate) struct MoneyMoved {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) amount: i64,
}

/// Wants to move so much money.
#[derive(Command, Serialize, Deserialize, Clone, Debug)]
#[command(name = "Transfer", error = BankError)]
pub(crate) struct Transfer {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) amount: i64,
}

/// Wants to move all money that there is.
#[derive(Command, Serialize, Deserialize, Clone, Debug)]
#[command(name = "Sweep", error = BankError)]
pub(crate) struct Sweep {
    pub(crate) from: String,
    pub(crate) to: String,
}

/// Why the bank does not do something.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum BankError {
    #[error("{account} does not exist")]
    NoAccount { account: String },
    #[error("{account} has {balance}, not {amount}")]
    Overdrawn { account: String, balance: i64, amount: i64 },
    #[error("{account} is empty")]
    Empty { account: String },
    #[error("{amount} is no amount to be moved")]
    NoAmount { amount: i64 },
}

/// Reads a balance, if the account exists.
fn balance(cx: &CommandContext<'_>, account: &str) -> Result<i64, HandlerError<BankError>> {
    let found = cx.query(&Account::select().filter(Account::id.eq(account)).first())?;
    let missing = || BankError::NoAccount { account: account.into() };
    Ok(found.ok_or_else(missing)?.balance)
}

pub(crate) fn schema() -> Schema {
    let change = |account: String, by: i64| {
        Account::update()
            .set(Account::balance, Account::balance + by)
            .filter(Account::id.eq(account))
    };
    Schema::builder()
        .table::<Account>()
        .event(|e: AccountOpened, _| Account::insert(Account { id: e.id, balance: e.balance }))
        .event(move |e: MoneyMoved, _| [change(e.from, -e.amount), change(e.to, e.amount)])
        .command(|Transfer { from, to, amount }: Transfer, cx: &CommandContext<'_>| {
            if amount <= 0 {
                return Err(BankError::NoAmount { amount }.into());
            }
            balance(cx, &to)?;
            let balance = balance(cx, &from)?;
            if balance < amount {
                return Err(BankError::Overdrawn { account: from, balance, amount }.into());
            }
            Ok(MoneyMoved { from, to, amount })
        })
        .command(|Sweep { from, to }: Sweep, cx: &CommandContext<'_>| {
            balance(cx, &to)?;
            let amount = balance(cx, &from)?;
            if amount == 0 {
                return Err(BankError::Empty { account: from }.into());
            }
            Ok(MoneyMoved { from, to, amount })
        })
        .build()
        .expect("the schema is valid")
}

#[cfg(test)]
mod tests {
    use livestore_testing::{TestBackend, given};

    use super::*;

    fn opened(id: &str, balance: i64) -> AccountOpened {
        AccountOpened { id: id.into(), balance }
    }

    fn transfer(from: &str, to: &str, amount: i64) -> Transfer {
        Transfer { from: from.into(), to: to.into(), amount }
    }

    fn accounts() -> impl Query<Output = Rows<Account>> {
        Account::select().order_by(Account::id)
    }

    #[test]
    fn a_transfer_moves_money_that_is_there() {
        let moved = MoneyMoved { from: "ann".into(), to: "bob".into(), amount: 30 };
        given(schema())
            .events([opened("ann", 100), opened("bob", 0)])
            .when(|store| store.execute(transfer("ann", "bob", 30)))
            .then(
                Account::select().filter(Account::id.eq("bob")).first_or_error(),
                Account { id: "bob".into(), balance: 30 },
            )
            .then_committed(moved);
    }

    #[test]
    fn nobody_moves_money_that_is_not_there() {
        given(schema())
            .events([opened("ann", 100), opened("bob", 0)])
            .when(|store| store.execute(transfer("ann", "bob", 101)))
            .then_fails("ann has 100, not 101");
    }

    #[test]
    fn offline_clients_together_never_spend_money_twice() {
        let backend = TestBackend::new();
        let clients: Vec<_> = (0..3).map(|_| backend.client(schema())).collect();
        clients[0].commit([opened("ann", 100), opened("bob", 0), opened("cleo", 0)]).unwrap();
        backend.settle();
        clients.iter().for_each(livestore_testing::TestClient::go_offline);
        // Each of them sees 100, and spends most of it.
        for client in &clients {
            client.execute(transfer("ann", "bob", 70)).unwrap();
            client.execute(Sweep { from: "ann".into(), to: "cleo".into() }).unwrap();
        }
        clients.iter().for_each(livestore_testing::TestClient::go_online);
        backend.settle();
        let balances: Vec<_> =
            clients[0].query(accounts()).unwrap().iter().map(|row| row.balance).collect();
        assert_eq!(balances, [0, 70, 30]);
        for client in &clients {
            assert_eq!(client.state_hash().unwrap(), clients[0].state_hash().unwrap());
        }
        let letters: Vec<_> =
            clients.iter().flat_map(|client| client.dead_letters().unwrap()).collect();
        assert_eq!(letters.len(), 4);
        assert!(letters.iter().all(|letter| letter.command.is_some()));
    }
}
