//! Expands `#[derive(Event)]`.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, format_ident, quote};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::token::Brace;
use syn::{
    Attribute, Data, DeriveInput, Error, Field, Fields, FieldsNamed, Ident, LitInt, LitStr, Path,
    Result, Variant,
};

use crate::wire_name;

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    match &input.data {
        Data::Struct(data) => derive_struct(input, &data.fields),
        Data::Enum(data) => derive_family(input, data.variants.iter().collect()),
        Data::Union(_) => Err(Error::new_spanned(
            &input.ident,
            "a union cannot be an event; make it a struct, or an enum",
        )),
    }
}

/// What `#[event(…)]` says of one event.
#[derive(Default)]
struct Options {
    name: Option<LitStr>,
    client_only: bool,
    persist: Option<Path>,
    memory: Option<Path>,
    version: Option<LitInt>,
    deprecated: Option<LitStr>,
    schema: bool,
}

impl Options {
    fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut options = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("event")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("name") {
                    options.name = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("client_only") {
                    options.client_only = true;
                } else if meta.path.is_ident("persist") {
                    options.persist = Some(meta.path);
                } else if meta.path.is_ident("memory") {
                    options.memory = Some(meta.path);
                } else if meta.path.is_ident("version") {
                    options.version = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("deprecated") {
                    options.deprecated = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("schema") {
                    options.schema = true;
                } else {
                    return Err(meta.error(
                        "unknown option; expected `name = \"v1.SomethingHappened\"`, `client_only`, \
                         `persist`, `memory`, `version = 1`, `deprecated = \"why\"` or `schema`",
                    ));
                }
                Ok(())
            })?;
        }
        Ok(options)
    }

    /// Writes the expression that makes the definition of an event with a payload of a type, whose
    /// fields these are if it has the same attributes.
    fn definition(
        &self,
        ident: &Ident,
        attributes: &[Attribute],
        fields: &Fields,
        payload: &TokenStream,
    ) -> Result<(LitStr, TokenStream)> {
        let name = self.name.clone().ok_or_else(|| {
            Error::new_spanned(ident, "missing #[event(name = \"v1.SomethingHappened\")]")
        })?;
        let mut definition = match (self.client_only, &self.persist, &self.memory) {
            (false, Some(option), _) | (false, None, Some(option)) => {
                let message = "`persist` and `memory` are for `client_only` events; all others are \
                               persisted anyway";
                return Err(Error::new_spanned(option, message));
            }
            (true, Some(_), Some(option)) => {
                return Err(Error::new_spanned(option, "an event is either kept or it is not"));
            }
            (false, None, None) => quote!(::livestore::EventDef::synced(#name)),
            (true, None, None) => quote!(::livestore::EventDef::client_only(#name)),
            (true, Some(_), None) => {
                quote!(::livestore::EventDef::new(#name, ::livestore::EventKind::ClientOnly))
            }
            (true, None, Some(_)) => {
                quote!(::livestore::EventDef::new(#name, ::livestore::EventKind::Memory))
            }
        };
        if let Some(version) = &self.version {
            definition.extend(quote!(.version(#version)));
        }
        if let Some(reason) = &self.deprecated {
            definition.extend(quote!(.deprecated(#reason)));
        }
        for field in fields {
            if let Some((name, reason)) = deprecated_field(attributes, field)? {
                definition.extend(quote!(.deprecated_field(#name, #reason)));
            }
        }
        if self.schema {
            definition.extend(quote!(.payload_of(::livestore::json_schema_of::<#payload>)));
        }
        Ok((name, definition))
    }
}

/// Returns the name of a deprecated field in the payload, and why it is deprecated.
fn deprecated_field(container: &[Attribute], field: &Field) -> Result<Option<(String, LitStr)>> {
    let mut reason: Option<LitStr> = None;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("event")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("deprecated") {
                reason = Some(meta.value()?.parse()?);
                return Ok(());
            }
            Err(meta.error("unknown option; expected `deprecated = \"why\"`"))
        })?;
    }
    let Some(reason) = reason else { return Ok(None) };
    let Some(ident) = &field.ident else {
        return Err(Error::new(field.span(), "only a field with a name can be deprecated"));
    };
    Ok(Some((wire_name::of_field(container, &field.attrs, ident), reason)))
}

/// A struct: its serde form is the payload.
fn derive_struct(input: &DeriveInput, fields: &Fields) -> Result<TokenStream> {
    let (name, definition) = Options::parse(&input.attrs)?.definition(
        &input.ident,
        &input.attrs,
        fields,
        &quote!(Self),
    )?;
    let (ident, (impl_generics, type_generics, where_clause)) =
        (&input.ident, input.generics.split_for_impl());
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #ident #type_generics #where_clause {
            /// The event's name in the log.
            pub const NAME: &'static str = #name;
        }

        #[automatically_derived]
        impl #impl_generics ::livestore::Event for #ident #type_generics #where_clause {
            fn definitions() -> ::std::vec::Vec<::livestore::EventDef> {
                ::std::vec![#definition]
            }

            fn name(&self) -> &'static str {
                #name
            }

            fn encode(
                self,
            ) -> ::core::result::Result<::livestore::CanonicalJson, ::livestore::JsonError> {
                ::livestore::CanonicalJson::encode(&self)
            }

            fn decode(
                _name: &str,
                args: &::livestore::CanonicalJson,
            ) -> ::core::result::Result<Self, ::livestore::JsonError> {
                args.decode()
            }
        }
    })
}

/// One event of a family.
struct Member {
    name: LitStr,
    definition: TokenStream,
    /// A type whose serde form is the payload, unless the variant holds one.
    payload: TokenStream,
    /// Match arms.
    name_of: TokenStream,
    encode: TokenStream,
    decode: TokenStream,
}

/// An enum: each variant is an event of its own.
fn derive_family(input: &DeriveInput, variants: Vec<&Variant>) -> Result<TokenStream> {
    if !input.generics.params.is_empty() {
        let message = "a family of events cannot be generic; name the types of its payloads";
        return Err(Error::new_spanned(&input.generics, message));
    }
    if let Some(attribute) = input.attrs.iter().find(|attr| attr.path().is_ident("event")) {
        let message = "in a family of events, each variant says #[event(…)] itself";
        return Err(Error::new_spanned(attribute, message));
    }
    if variants.is_empty() {
        return Err(Error::new_spanned(&input.ident, "a family of events needs a variant"));
    }
    let members = variants.into_iter().map(member).collect::<Result<Vec<_>>>()?;
    let ident = &input.ident;
    let names = members.iter().map(|member| &member.name);
    let definitions = members.iter().map(|member| &member.definition);
    let payloads = members.iter().map(|member| &member.payload);
    let name_of = members.iter().map(|member| &member.name_of);
    let encode = members.iter().map(|member| &member.encode);
    let decode = members.iter().map(|member| &member.decode);
    Ok(quote! {
        const _: () = {
            #(#payloads)*

            #[automatically_derived]
            impl ::livestore::Event for #ident {
                fn definitions() -> ::std::vec::Vec<::livestore::EventDef> {
                    ::std::vec![#(#definitions),*]
                }

                fn name(&self) -> &'static str {
                    match self {
                        #(#name_of => #names),*
                    }
                }

                fn encode(
                    self,
                ) -> ::core::result::Result<::livestore::CanonicalJson, ::livestore::JsonError> {
                    match self {
                        #(#encode),*
                    }
                }

                fn decode(
                    name: &str,
                    args: &::livestore::CanonicalJson,
                ) -> ::core::result::Result<Self, ::livestore::JsonError> {
                    match name {
                        #(#decode,)*
                        _ => ::core::result::Result::Err(::livestore::JsonError::Decode {
                            reason: ::std::format!("no variant is named {name}"),
                        }),
                    }
                }
            }
        };
    })
}

fn member(variant: &Variant) -> Result<Member> {
    let options = Options::parse(&variant.attrs)?;
    let ident = &variant.ident;
    let payload_ident = format_ident!("__{}Payload", ident);
    let payload_type = match &variant.fields {
        Fields::Unnamed(fields) => fields.unnamed.first().map(|field| field.ty.to_token_stream()),
        _ => None,
    };
    let payload_type = payload_type.unwrap_or_else(|| quote!(#payload_ident));
    let (name, definition) =
        options.definition(ident, &variant.attrs, &variant.fields, &payload_type)?;
    match &variant.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
            let payload = &fields.unnamed[0].ty;
            Ok(Member {
                payload: TokenStream::new(),
                name_of: quote!(Self::#ident(_)),
                encode: quote!(Self::#ident(payload) => ::livestore::CanonicalJson::encode(&payload)),
                decode: quote!(#name => args.decode::<#payload>().map(Self::#ident)),
                name,
                definition,
            })
        }
        Fields::Unnamed(fields) => {
            let message = "a payload has one type or fields with names";
            Err(Error::new_spanned(fields, message))
        }
        Fields::Named(fields) => {
            let payload = payload_ident;
            let names: Vec<_> = fields.named.iter().map(|field| &field.ident).collect();
            Ok(Member {
                payload: payload_struct(&payload, variant, fields, options.schema),
                name_of: quote!(Self::#ident { .. }),
                encode: quote! {
                    Self::#ident { #(#names),* } => {
                        ::livestore::CanonicalJson::encode(&#payload { #(#names),* })
                    }
                },
                decode: quote! {
                    #name => args
                        .decode::<#payload>()
                        .map(|#payload { #(#names),* }| Self::#ident { #(#names),* })
                },
                name,
                definition,
            })
        }
        Fields::Unit => {
            let payload = payload_ident;
            let (brace_token, named) = (Brace::default(), Punctuated::default());
            let none = FieldsNamed { brace_token, named };
            Ok(Member {
                payload: payload_struct(&payload, variant, &none, options.schema),
                name_of: quote!(Self::#ident),
                encode: quote!(Self::#ident => ::livestore::CanonicalJson::encode(&#payload {})),
                decode: quote!(#name => args.decode::<#payload>().map(|_| Self::#ident)),
                name,
                definition,
            })
        }
    }
}

/// Writes the struct that serde knows the payload of a variant by.
fn payload_struct(
    ident: &Ident,
    variant: &Variant,
    fields: &FieldsNamed,
    has_schema: bool,
) -> TokenStream {
    let schema = has_schema.then(|| {
        quote! {
            #[derive(::livestore::schemars::JsonSchema)]
            #[schemars(crate = "::livestore::schemars")]
        }
    });
    let is_serde = |attribute: &&Attribute| attribute.path().is_ident("serde");
    let attributes = variant.attrs.iter().filter(is_serde);
    let fields = fields.named.iter().map(|field| {
        let attributes = field.attrs.iter().filter(is_serde);
        let (ident, ty) = (&field.ident, &field.ty);
        quote!(#(#attributes)* #ident: #ty)
    });
    quote! {
        #[derive(::livestore::serde::Serialize, ::livestore::serde::Deserialize)]
        #[serde(crate = "::livestore::serde")]
        #schema
        #(#attributes)*
        struct #ident { #(#fields),* }
    }
}

#[cfg(test)]
mod tests {
    use super::derive;

    /// The compile error that an item gives.
    fn error(text: &str) -> String {
        let input = syn::parse_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        derive(&input).expect_err(text).to_string()
    }

    #[test]
    fn an_event_without_a_name_is_told_what_one_looks_like() {
        let missing = "missing #[event(name = \"v1.SomethingHappened\")]";
        assert_eq!(error("struct T {}"), missing);
        assert_eq!(error("enum T { A, }"), missing);
    }

    #[test]
    fn an_unknown_option_names_those_that_there_are() {
        let message = error(r#"#[event(name = "T", clientonly)] struct T {}"#);
        assert!(
            message.contains("expected `name") && message.contains("`client_only`"),
            "{message}"
        );
        let message = error(r#"#[event(name = "T")] struct T { #[event(gone)] a: u8 }"#);
        assert_eq!(message, "unknown option; expected `deprecated = \"why\"`");
    }

    #[test]
    fn options_that_exclude_each_other_are_refused() {
        for option in ["persist", "memory"] {
            let message = error(&format!(r#"#[event(name = "T", {option})] struct T {{}}"#));
            assert!(message.contains("are for `client_only` events"), "{message}");
        }
        let both = r#"#[event(name = "T", client_only, persist, memory)] struct T {}"#;
        assert_eq!(error(both), "an event is either kept or it is not");
    }

    #[test]
    fn what_a_family_cannot_be_is_said_in_its_words() {
        let name = r#"#[event(name = "v1.A")]"#;
        assert!(error(&format!("{name} enum T {{ A }}")).contains("each variant says"));
        assert!(error(&format!("enum T<P> {{ {name} A(P) }}")).contains("cannot be generic"));
        assert!(
            error(&format!("enum T {{ {name} A(u8, u8) }}")).contains("a payload has one type")
        );
        assert_eq!(error("enum T {}"), "a family of events needs a variant");
        assert_eq!(
            error("union T { a: u8 }"),
            "a union cannot be an event; make it a struct, or an enum"
        );
    }
}
