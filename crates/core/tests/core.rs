//! The behaviour of the pure crate: what a client and a server have to agree on to the byte.

mod core {
    mod canonical;
    mod canonical_properties;
    mod event_groups;
    mod golden;
    mod ids;
    mod merging;
    mod names;
    mod pages;
    mod protocol;
    mod protocol_damage;
    mod seq_nums;
    mod support;
}
