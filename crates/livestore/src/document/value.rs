//! Values of documents as they were stored, and the types that they are read as today.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Puts fields over those of an object; what is no object is replaced by them.
pub(super) fn overlay(under: Value, over: Map<String, Value>) -> Value {
    match under {
        Value::Object(mut fields) => {
            fields.extend(over);
            Value::Object(fields)
        }
        _ => Value::Object(over),
    }
}

/// Reads a stored value as a type. What does not fit gets the default, field by field, and
/// `misfit` is told: of the field, or of the whole value, with the reason.
pub(super) fn read<T: DeserializeOwned + Clone>(
    stored: Value,
    (default, default_json): (&T, &Value),
    mut misfit: impl FnMut(Option<&str>, String),
) -> T {
    let (Value::Object(fields), Value::Object(_)) = (&stored, default_json) else {
        return T::deserialize(&stored).unwrap_or_else(|error| {
            misfit(None, error.to_string());
            default.clone()
        });
    };
    let whole = overlay(default_json.clone(), fields.clone());
    // A value may be of another form than the default, such as another variant of an enum.
    if let Ok(value) = T::deserialize(&whole).or_else(|_| T::deserialize(&stored)) {
        return value;
    }
    let mut fitting = default_json.clone();
    for (field, value) in fields {
        let one = Map::from_iter([(field.clone(), value.clone())]);
        let with = overlay(fitting.clone(), one);
        match T::deserialize(&with) {
            Ok(_) => fitting = with,
            Err(error) => misfit(Some(field), error.to_string()),
        }
    }
    T::deserialize(&fitting).unwrap_or_else(|_| default.clone())
}

/// Finds what a value became: the fields that differ, or `None` if the whole has to be replaced.
pub(super) fn difference(before: &Value, after: &Value) -> Option<Map<String, Value>> {
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return None };
    if before.keys().any(|field| !after.contains_key(field)) {
        return None;
    }
    let differs = |(field, value): &(&String, &Value)| before.get(*field) != Some(*value);
    let changed = after.iter().filter(differs);
    Some(changed.map(|(field, value)| (field.clone(), value.clone())).collect())
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;

    #[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
    struct Panel {
        width: u32,
        title: String,
        filter: Option<String>,
    }

    fn panel(stored: Value) -> (Panel, Vec<String>) {
        let default = Panel { width: 200, title: "Todos".into(), filter: None };
        let default_json = serde_json::to_value(&default).unwrap();
        let mut misfits = Vec::new();
        let value = read(stored, (&default, &default_json), |field, _| {
            misfits.push(field.unwrap_or("all").to_owned());
        });
        (value, misfits)
    }

    #[test]
    fn fields_that_were_never_set_have_the_default() {
        let (value, misfits) = panel(json!({"width": 5}));
        assert_eq!(value, Panel { width: 5, title: "Todos".into(), filter: None });
        assert!(misfits.is_empty());
    }

    #[test]
    fn each_field_that_no_longer_fits_has_the_default_and_is_told() {
        let (value, misfits) = panel(json!({"width": "wide", "title": "Mine", "filter": 5}));
        assert_eq!(value, Panel { width: 200, title: "Mine".into(), filter: None });
        assert_eq!(misfits, ["filter", "width"]);
    }

    #[test]
    fn fields_that_the_type_does_not_have_are_nobody_s_business() {
        let (value, misfits) = panel(json!({"height": 7, "width": 1}));
        assert_eq!((value.width, misfits.len()), (1, 0));
    }

    #[test]
    fn a_value_of_another_shape_is_the_default_and_is_told() {
        let (value, misfits) = panel(json!([1, 2]));
        assert_eq!((value.width, misfits), (200, vec!["all".to_owned()]));
    }

    #[test]
    fn another_variant_than_the_default_is_read_as_it_is() {
        #[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
        enum View {
            List { sorted: bool },
            Grid { columns: u8 },
        }
        let default = View::List { sorted: true };
        let default_json = serde_json::to_value(&default).unwrap();
        let stored = serde_json::to_value(View::Grid { columns: 3 }).unwrap();
        let value = read(stored, (&default, &default_json), |_, _| panic!("it fits"));
        assert_eq!(value, View::Grid { columns: 3 });
    }

    #[test]
    fn a_difference_names_changed_fields_or_says_that_one_is_gone() {
        let before = json!({"a": 1, "b": 2});
        let changed = difference(&before, &json!({"a": 1, "b": 3, "c": 4})).unwrap();
        assert_eq!(Value::Object(changed), json!({"b": 3, "c": 4}));
        assert_eq!(difference(&before, &before), Some(Map::new()));
        assert_eq!(difference(&before, &json!({"a": 1})), None);
        assert_eq!(difference(&before, &json!(5)), None);
    }
}
