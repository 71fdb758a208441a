//! A manifest as TOML and as JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shmstream::Manifest;

const TOML: &str = "[[stream]]\nname = 'imu'\npayload = 'Imu { time: f64, accel: [f32; 3] } '\nshape = [4]\n\
                    slots = 4\nhistory = 2\nparticipants = 8\nmode = '0644'\nobservers = true\n";
const JSON: &str = r#"{"stream": [{"name": "a/b", "payload": "[[f32; 64]; 48]", "mode": "0600"}]}"#;

fn seed() {
    shmstream_fuzz::keep_apart();
    let inputs = [("toml", TOML.into()), ("json", JSON.into())];
    shmstream_fuzz::seed("manifest", &inputs);
}

fuzz_target!(init: seed(), |text: &str| {
    for parsed in [Manifest::from_toml(text), Manifest::from_json(text)] {
        match parsed {
            Ok(manifest) => {
                let written = manifest.to_toml().expect("what was read can be written");
                let again = Manifest::from_toml(&written);
                assert_eq!(again.as_ref().ok(), Some(&manifest), "{written}: {again:?}");
                // Nothing is there: all are missing, or cannot be.
                assert_eq!(manifest.check().len(), manifest.streams.len());
                for config in &manifest.streams {
                    let _ = config.resolved();
                }
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});
