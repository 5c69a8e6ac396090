//! A field and what its `#[column(…)]` says.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::{Error, Expr, Field, Ident, Lit, LitStr, Path, Result, Type, Visibility};

/// The functions of a table that apps call by the struct's name.
///
/// A column's handle of the same name would come before them.
const TABLE_FUNCTIONS: [&str; 5] = ["select", "insert", "insert_columns", "update", "delete"];

const ACTIONS: [(&str, &str); 5] = [
    ("cascade", "Cascade"),
    ("restrict", "Restrict"),
    ("set null", "SetNull"),
    ("set default", "SetDefault"),
    ("no action", "NoAction"),
];

/// One column as its field describes it.
pub(super) struct Column<'a> {
    pub(super) field: &'a Ident,
    pub(super) field_type: &'a Type,
    pub(super) visibility: &'a Visibility,
    pub(super) name: String,
    pub(super) is_generated: bool,
    pub(super) is_key: bool,
    /// Calls of the methods of a `ColumnDef`.
    pub(super) options: TokenStream,
}

/// What has to be known of all options before it can be said whether they go together.
#[derive(Default)]
struct Seen {
    generated: Option<LitStr>,
    is_virtual: Option<Path>,
    default: Option<Path>,
    key: Option<Path>,
    references: bool,
    action: Option<Path>,
}

pub(super) fn column(field: &Field) -> Result<Column<'_>> {
    let Some(ident) = &field.ident else {
        return Err(Error::new_spanned(field, "a table is a struct with named fields"));
    };
    let mut name = ident.unraw().to_string();
    if TABLE_FUNCTIONS.contains(&&*name) {
        let message = format!(
            "a field named `{name}` would hide the table's function of that name; name the field \
             otherwise, and keep the column's name with #[column(name = \"{name}\")]"
        );
        return Err(Error::new_spanned(ident, message));
    }
    let (mut options, mut seen) = (TokenStream::new(), Seen::default());
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("column")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                name = meta.value()?.parse::<LitStr>()?.value();
                return Ok(());
            }
            options.extend(option(&meta, &mut seen)?);
            Ok(())
        })?;
    }
    options.extend(seen.generated()?);
    seen.check()?;
    let (is_generated, is_key) = (seen.generated.is_some(), seen.key.is_some());
    let (field_type, visibility) = (&field.ty, &field.vis);
    Ok(Column { field: ident, field_type, visibility, name, is_generated, is_key, options })
}

fn option(meta: &ParseNestedMeta<'_>, seen: &mut Seen) -> Result<TokenStream> {
    let path = &meta.path;
    let Some(word) = path.get_ident().map(ToString::to_string) else {
        return Err(unknown(meta));
    };
    Ok(match &*word {
        "primary_key" => {
            seen.key = Some(path.clone());
            quote! { .primary_key() }
        }
        "auto_increment" => {
            seen.key = Some(path.clone());
            quote! { .auto_increment() }
        }
        "unique" => quote! { .unique() },
        "default" => {
            seen.default = Some(path.clone());
            default(&meta.value()?.parse()?)?
        }
        "check" => {
            let sql: LitStr = meta.value()?.parse()?;
            quote! { .check(#sql) }
        }
        "generated" => {
            seen.generated = Some(meta.value()?.parse()?);
            TokenStream::new()
        }
        "virtual" => {
            seen.is_virtual = Some(path.clone());
            TokenStream::new()
        }
        "references" => {
            seen.references = true;
            let (table, column) = referenced(&meta.value()?.parse()?)?;
            quote! { .references(#table, #column) }
        }
        "on_delete" | "on_update" => {
            seen.action = Some(path.clone());
            let action = action(&meta.value()?.parse()?)?;
            quote! { .#path(#action) }
        }
        _ => return Err(unknown(meta)),
    })
}

fn unknown(meta: &ParseNestedMeta<'_>) -> Error {
    meta.error(
        "unknown option; expected primary_key, auto_increment, unique, default, check, \
         references, on_delete, on_update, generated, virtual or name",
    )
}

impl Seen {
    fn generated(&self) -> Result<TokenStream> {
        match (&self.generated, &self.is_virtual) {
            (None, None) => Ok(TokenStream::new()),
            (None, Some(path)) => {
                let message = "`virtual` is for generated columns; say what computes it, with \
                               `generated = \"SQL\"`";
                Err(Error::new_spanned(path, message))
            }
            (Some(sql), None) => Ok(quote! { .generated(#sql, ::livestore::Generated::Stored) }),
            (Some(sql), Some(_)) => {
                Ok(quote! { .generated(#sql, ::livestore::Generated::Virtual) })
            }
        }
    }

    fn check(&self) -> Result<()> {
        let wrong = |path: &Path, message| Err(Error::new_spanned(path, message));
        match self {
            Self { generated: Some(_), default: Some(path), .. } => {
                wrong(path, "a generated column is never given a value, so it has no default")
            }
            Self { generated: Some(_), key: Some(path), .. } => {
                wrong(path, "a generated column cannot be part of the primary key")
            }
            Self { references: false, action: Some(path), .. } => wrong(
                path,
                "the column refers to nothing; say what it refers to, with \
                 `references = \"table.column\"`",
            ),
            _ => Ok(()),
        }
    }
}

/// Reads the name of an action of a foreign key.
pub(super) fn action(name: &LitStr) -> Result<TokenStream> {
    let value = name.value();
    let Some((_, variant)) = ACTIONS.iter().find(|(action, _)| *action == value) else {
        let names: Vec<_> = ACTIONS.iter().map(|(action, _)| format!("{action:?}")).collect();
        let message = format!("there is no action {value:?}; there are {}", names.join(", "));
        return Err(Error::new_spanned(name, message));
    };
    let variant = Ident::new(variant, name.span());
    Ok(quote! { ::livestore::Action::#variant })
}

fn referenced(to: &LitStr) -> Result<(String, String)> {
    let value = to.value();
    match value.split_once('.') {
        Some((table, column)) if !table.is_empty() && !column.is_empty() => {
            Ok((table.into(), column.into()))
        }
        _ => Err(Error::new_spanned(to, "expected a table and a column, such as \"users.id\"")),
    }
}

/// Accepts literals only: anything else would run when the schema is built, so two builds of one
/// app could disagree about the state.
fn default(expression: &Expr) -> Result<TokenStream> {
    let literal = match expression {
        Expr::Lit(literal) => Some(&literal.lit),
        Expr::Unary(unary) => match &*unary.expr {
            Expr::Lit(literal) => Some(&literal.lit),
            _ => None,
        },
        _ => None,
    };
    match literal {
        // An untyped integer literal becomes what the column stores.
        Some(Lit::Int(_)) => Ok(quote! { .default((#expression) as i64) }),
        Some(Lit::ByteStr(bytes)) => Ok(quote! { .default(&#bytes[..]) }),
        Some(_) => Ok(quote! { .default(#expression) }),
        None => Err(Error::new_spanned(
            expression,
            "a column default is a literal; a value that is computed belongs in the event's payload",
        )),
    }
}
