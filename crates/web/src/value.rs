//! Values of SQLite as JavaScript has them.

use js_sys::{Array, BigInt, Reflect, Uint8Array};
use livestore::{Row, Rows, Value};
use wasm_bindgen::JsValue;

/// Integers up to this are exact as numbers.
const MAX_SAFE: i64 = (1 << 53) - 1;

/// Null, a number, a bigint if a number would not be exact, a string, or bytes.
pub(crate) fn to_js(value: &Value) -> JsValue {
    match value {
        Value::Null => JsValue::NULL,
        Value::Integer(number) if (-MAX_SAFE..=MAX_SAFE).contains(number) => {
            JsValue::from_f64(*number as f64)
        }
        Value::Integer(number) => BigInt::from(*number).into(),
        Value::Real(number) => JsValue::from_f64(*number),
        Value::Text(text) => JsValue::from_str(text),
        Value::Blob(bytes) => Uint8Array::from(&**bytes).into(),
    }
}

/// The rows of a query.
///
/// If they are wanted and there are rows, the names of the columns are a property `columns`.
pub(crate) fn rows_to_js(rows: &Rows<Row>, with_columns: bool) -> Array {
    let all: Array = rows.iter().map(|row| row_to_js(row)).collect();
    if let Some(row) = rows.first().filter(|_| with_columns) {
        // Setting a property of a new list cannot fail.
        let _ = Reflect::set(&all, &"columns".into(), &columns_to_js(row));
    }
    all
}

/// The names of a row's columns.
pub(crate) fn columns_to_js(row: &Row) -> JsValue {
    let names: Array = row.columns().iter().map(|name| JsValue::from_str(name)).collect();
    names.into()
}

/// The values of a row, in the order of the columns.
pub(crate) fn row_to_js(row: &Row) -> JsValue {
    let values: Array = row.values().iter().map(to_js).collect();
    values.into()
}
