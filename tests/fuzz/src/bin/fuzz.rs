//! The program that libFuzzer drives: the target is named by the environment variable `CAMLANE_FUZZ`.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<camlane_fuzz::Target> = OnceLock::new();

fuzz_target!(
    init: {
        let name = std::env::var("CAMLANE_FUZZ").expect("CAMLANE_FUZZ names the target");
        let target = camlane_fuzz::target(&name).expect("CAMLANE_FUZZ names no target");
        TARGET.get_or_init(|| target);
    },
    |bytes: &[u8]| {
        if let Some(target) = TARGET.get() {
            target(bytes);
        }
    }
);
