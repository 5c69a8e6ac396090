//! Rows of SQLite as JavaScript has them.
//!
//! A call into JavaScript costs as much as some values, so that rows go over in one, however many they
//! are: their numbers in one list, their texts in one string, which `rows.js` takes apart.

use std::borrow::Cow;
use std::sync::Arc;

use js_sys::{Array, BigInt, Reflect, Uint8Array};
use livestore::{DiffStep, Row, RowCursor, SqliteError, Value};
use wasm_bindgen::prelude::*;

use crate::host::text_to_js;

#[wasm_bindgen(module = "/src/rows.js")]
extern "C" {
    fn rows(width: usize, numbers: &[f64], text: &JsValue, others: Option<Array>) -> Array;
    fn steps(width: usize, numbers: &[f64], text: &JsValue, others: Option<Array>) -> Array;
}

/// Integers up to this are exact as numbers.
const MAX_SAFE: i64 = (1 << 53) - 1;

/// Texts longer than this, in bytes, are strings of their own.
///
/// The others are parts of one string, which engines of JavaScript keep as long as one of its parts.
const LONG: usize = 1 << 10;

/// How long the string of all others may get, in bytes; engines end at about 2²⁹ characters.
const MAX_TEXT: usize = 1 << 28;

/// What comes next in the numbers.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Null = 0,
    /// The number.
    Number = 1,
    /// How many units of UTF-16 the text has.
    Text = 2,
    /// Nothing: the value lies beside.
    Other = 3,
}

/// Rows, and what else is told of them, on their way to JavaScript.
#[derive(Debug, Default, Clone)]
pub(crate) struct Packed {
    width: usize,
    numbers: Vec<f64>,
    text: String,
    others: Vec<Value>,
    /// The names of the columns, if they are wanted and there are rows.
    columns: Option<Arc<[Box<str>]>>,
}

impl Packed {
    /// Takes all rows of a running query.
    pub(crate) fn read(mut rows: RowCursor<'_>, with_columns: bool) -> Result<Self, SqliteError> {
        // Behind the last row there are no names any more.
        let names = with_columns.then(|| rows.column_names());
        let mut packed = Self { width: rows.column_count(), ..Self::default() };
        while let Some(row) = rows.next()? {
            for column in 0..packed.width {
                packed.value(Cow::Owned(row.value(column)));
            }
        }
        packed.columns = names.filter(|_| !packed.numbers.is_empty());
        Ok(packed)
    }

    fn number(&mut self, number: usize) {
        self.numbers.push(number as f64);
    }

    fn row(&mut self, row: &Row) {
        self.width = row.values().len();
        for value in row.values() {
            self.value(Cow::Borrowed(value));
        }
    }

    fn value(&mut self, value: Cow<'_, Value>) {
        match &*value {
            Value::Null => self.numbers.push(f64::from(Kind::Null as u8)),
            Value::Integer(number) if (-MAX_SAFE..=MAX_SAFE).contains(number) => {
                self.two(Kind::Number, *number as f64);
            }
            Value::Real(number) => self.two(Kind::Number, *number),
            Value::Text(text) if text.len() <= LONG && self.text.len() <= MAX_TEXT => {
                let units = if text.is_ascii() { text.len() } else { text.encode_utf16().count() };
                self.two(Kind::Text, units as f64);
                self.text.push_str(text);
            }
            Value::Integer(_) | Value::Text(_) | Value::Blob(_) => {
                self.numbers.push(f64::from(Kind::Other as u8));
                self.others.push(value.into_owned());
            }
        }
    }

    fn two(&mut self, kind: Kind, number: f64) {
        self.numbers.extend([f64::from(kind as u8), number]);
    }

    fn others(&self) -> Option<Array> {
        (!self.others.is_empty()).then(|| self.others.iter().map(value_to_js).collect())
    }

    /// Returns the rows: each a list of a null, a number, a bigint if a number would not be exact, a
    /// string, or bytes, in the order of the columns.
    ///
    /// If they are wanted and there are rows, the names of the columns are a property `columns`.
    pub(crate) fn to_js(&self) -> Array {
        let list = rows(self.width, &self.numbers, &text_to_js(&self.text), self.others());
        if let Some(names) = &self.columns {
            // Setting a property of a new list cannot fail.
            let _ = Reflect::set(&list, &"columns".into(), &columns_to_js(names));
        }
        list
    }
}

fn value_to_js(value: &Value) -> JsValue {
    match value {
        Value::Null => JsValue::NULL,
        Value::Integer(number) => BigInt::from(*number).into(),
        Value::Real(number) => (*number).into(),
        Value::Text(text) => JsValue::from_str(text),
        Value::Blob(bytes) => Uint8Array::from(&**bytes).into(),
    }
}

/// How rows became others, as a flat list: 0, at, row for one that comes; 1, at for one that goes; 2,
/// from, to for one that moves; 3, at, row for one that has changed.
pub(crate) fn steps_to_js(all: &[DiffStep<Row>]) -> Array {
    let mut packed = Packed::default();
    for step in all {
        let (kind, at) = match step {
            DiffStep::Insert { at, .. } => (0, *at),
            DiffStep::Remove { at } => (1, *at),
            DiffStep::Move { from, .. } => (2, *from),
            DiffStep::Update { at, .. } => (3, *at),
        };
        packed.number(kind);
        packed.number(at);
        match step {
            DiffStep::Insert { row, .. } | DiffStep::Update { row, .. } => packed.row(row),
            DiffStep::Move { to, .. } => packed.number(*to),
            DiffStep::Remove { .. } => {}
        }
    }
    steps(packed.width, &packed.numbers, &text_to_js(&packed.text), packed.others())
}

/// The names of columns.
pub(crate) fn columns_to_js(names: &[Box<str>]) -> JsValue {
    let names: Array = names.iter().map(|name| JsValue::from_str(name)).collect();
    names.into()
}
