//! The specification of the store and the replica, as tests.

#![allow(missing_docs, unreachable_pub)]

#[path = "livestore/app.rs"]
mod app;
#[path = "livestore/backend/mod.rs"]
mod backend;
#[path = "livestore/bad_input.rs"]
mod bad_input;
#[path = "livestore/bindings.rs"]
mod bindings;
#[path = "livestore/boot.rs"]
mod boot;
#[path = "livestore/commands.rs"]
mod commands;
#[path = "livestore/commit.rs"]
mod commit;
#[path = "livestore/crash.rs"]
mod crash;
#[path = "livestore/crash_images.rs"]
mod crash_images;
#[path = "livestore/description.rs"]
mod description;
#[path = "livestore/documents.rs"]
mod documents;
#[path = "livestore/durability.rs"]
mod durability;
#[path = "livestore/events.rs"]
mod events;
#[path = "livestore/evolution.rs"]
mod evolution;
#[path = "livestore/family.rs"]
mod family;
#[path = "livestore/files.rs"]
mod files;
#[path = "livestore/followers.rs"]
mod followers;
#[path = "livestore/forbidden.rs"]
mod forbidden;
#[path = "livestore/format_doc.rs"]
mod format_doc;
#[path = "livestore/full_text.rs"]
mod full_text;
#[path = "livestore/golden.rs"]
mod golden;
#[path = "livestore/health.rs"]
mod health;
#[path = "livestore/kinds.rs"]
mod kinds;
#[path = "livestore/links.rs"]
mod links;
#[path = "livestore/listing.rs"]
mod listing;
#[path = "livestore/live_queries.rs"]
mod live_queries;
#[path = "livestore/live_truth.rs"]
mod live_truth;
#[path = "livestore/live_values.rs"]
mod live_values;
#[path = "livestore/oracle.rs"]
mod oracle;
#[path = "livestore/processes.rs"]
mod processes;
#[path = "livestore/properties.rs"]
mod properties;
#[path = "livestore/queries.rs"]
mod queries;
#[path = "livestore/rebases.rs"]
mod rebases;
#[path = "livestore/relations.rs"]
mod relations;
#[path = "livestore/releases.rs"]
mod releases;
#[path = "livestore/round_trips.rs"]
mod round_trips;
#[path = "livestore/sessions.rs"]
mod sessions;
#[path = "livestore/sync.rs"]
mod sync;
#[path = "livestore/writes_at_once.rs"]
mod writes_at_once;
