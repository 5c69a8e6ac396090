#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| livestore_fuzz_targets::run("livestore", input));
