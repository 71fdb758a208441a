//! The text of a schema, which a manifest and the program's user may give.
#![no_main]

use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use shmstream::{DType, Schema};

const TEXTS: [&str; 4] = [
    "[[f32; 640]; 480]",
    "State { time: f64, pose: Pose { position: [f32; 3], gain: f32 }, flags: [u8; 8] }",
    "[Sample { at: u64, on: [Bool; 8] } align 64; 3]",
    "complex64",
];

fn seed() {
    let inputs = TEXTS.map(|text| (&text[..4], text.as_bytes().to_vec()));
    shmstream_fuzz::seed("schema", &inputs);
}

fuzz_target!(init: seed(), |text: &str| {
    let _ = DType::from_str(text).map_err(|error| error.to_string());
    match Schema::from_str(text) {
        Ok(schema) => {
            let again = schema.to_string();
            assert_eq!(Schema::from_str(&again).as_ref(), Ok(&schema), "{again}");
            let _ = (schema.size(), schema.align(), format!("{schema:?}"));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
