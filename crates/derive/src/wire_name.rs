//! The names that serde gives to fields.

use proc_macro2::TokenStream;
use syn::meta::ParseNestedMeta;
use syn::token::Paren;
use syn::{Attribute, Ident, LitStr, Result, Token, parenthesized};

/// Returns the name that a field is written by, given its attributes and those of what it is a
/// field of.
pub(crate) fn of_field(container: &[Attribute], field: &[Attribute], ident: &Ident) -> String {
    option(field, "rename").unwrap_or_else(|| {
        let name = ident.to_string().trim_start_matches("r#").to_owned();
        match option(container, "rename_all") {
            Some(rule) => renamed(&name, &rule),
            None => name,
        }
    })
}

/// Finds what an option of serde's says of writing: `key = "…"`, or `key(serialize = "…")`.
fn option(attributes: &[Attribute], key: &str) -> Option<String> {
    let mut found = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        // What is not as it should be is serde's to judge.
        let _ = attribute.parse_nested_meta(|meta| {
            let is_meant = meta.path.is_ident(key);
            if meta.input.peek(Token![=]) {
                let value: LitStr = meta.value()?.parse()?;
                found = is_meant.then(|| value.value()).or(found.take());
            } else if meta.input.peek(Paren) && is_meant {
                meta.parse_nested_meta(|side| {
                    let value: LitStr = side.value()?.parse()?;
                    found = side.path.is_ident("serialize").then(|| value.value()).or(found.take());
                    Ok(())
                })?;
            } else if meta.input.peek(Paren) {
                skip(&meta)?;
            }
            Ok(())
        });
    }
    found
}

/// Goes past what stands in parentheses.
fn skip(meta: &ParseNestedMeta<'_>) -> Result<()> {
    let content;
    parenthesized!(content in meta.input);
    content.parse::<TokenStream>().map(drop)
}

/// Writes a field's name as a rule of serde's says.
fn renamed(name: &str, rule: &str) -> String {
    match rule {
        "UPPERCASE" | "SCREAMING_SNAKE_CASE" => name.to_ascii_uppercase(),
        "PascalCase" => joined(name, true),
        "camelCase" => joined(name, false),
        "kebab-case" => name.replace('_', "-"),
        "SCREAMING-KEBAB-CASE" => name.to_ascii_uppercase().replace('_', "-"),
        // Fields are written so anyway, and unknown rules are serde's to judge.
        _ => name.to_owned(),
    }
}

/// Joins words, with a capital letter where each begins; the first has one if it is said so.
fn joined(name: &str, first_too: bool) -> String {
    let mut joined = String::new();
    for word in name.split('_') {
        let mut letters = word.chars();
        let is_small = joined.is_empty() && !first_too;
        let first = letters.next().map(|letter| {
            if is_small { letter.to_ascii_lowercase() } else { letter.to_ascii_uppercase() }
        });
        joined.extend(first.into_iter().chain(letters));
    }
    joined
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::{of_field, renamed};

    #[test]
    fn rules_are_those_of_serde() {
        for (rule, expected) in [
            ("lowercase", "_old_name2"),
            ("UPPERCASE", "_OLD_NAME2"),
            ("PascalCase", "OldName2"),
            ("camelCase", "oldName2"),
            ("snake_case", "_old_name2"),
            ("SCREAMING_SNAKE_CASE", "_OLD_NAME2"),
            ("kebab-case", "-old-name2"),
            ("SCREAMING-KEBAB-CASE", "-OLD-NAME2"),
        ] {
            assert_eq!(renamed("_old_name2", rule), expected, "{rule}");
        }
    }

    #[test]
    fn the_name_is_found_whatever_else_is_said() {
        let container = [parse_quote!(#[serde(
            default,
            bound(serialize = "T: Clone"),
            crate = "livestore::serde",
            rename_all(deserialize = "UPPERCASE", serialize = "camelCase")
        )])];
        let ident = parse_quote!(old_name);
        assert_eq!(of_field(&container, &[], &ident), "oldName");
        let field = [parse_quote!(#[serde(default = "none", alias = "a", rename = "b", flatten)])];
        assert_eq!(of_field(&container, &field, &ident), "b");
        let only_read = [parse_quote!(#[serde(rename(deserialize = "b"))])];
        assert_eq!(of_field(&container, &only_read, &ident), "oldName");
        assert_eq!(of_field(&[], &[], &parse_quote!(r#type)), "type");
    }
}
