//! Values of SQLite as JavaScript has them.

use js_sys::{BigInt, Uint8Array};
use livestore::{Row, Value};
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

/// The values of a row, in the order of the columns.
pub(crate) fn row_to_js(row: &Row) -> JsValue {
    let values: js_sys::Array = row.values().iter().map(to_js).collect();
    values.into()
}
