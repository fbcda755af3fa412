#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dqa_fuzz::root(bytes));
