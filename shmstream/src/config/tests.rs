use proptest::prelude::*;

use super::*;
use crate::dtype::DType;
use crate::schema::Schema;

const FULL: &str = r#"
[[stream]]
name = "camera/left"
payload = "[[u16; 640]; 480]"
slots = 12
history = 8
participants = 16
mode = "0640"
observers = false
huge_pages = true

[[stream]]
name = "imu"
payload = "Imu { time: f64, accel: [f32; 2] }"
"#;

fn manifest(text: &str) -> Manifest {
    toml::from_str(text).unwrap()
}

fn config(keys: &str) -> StreamConfig {
    let mut streams = manifest(&format!("[[stream]]\n{keys}")).streams;
    streams.remove(0)
}

#[track_caller]
fn refused(keys: &str, says: &str) {
    let text = format!("[[stream]]\nname = 'imu'\n{keys}");
    let error = toml::from_str::<Manifest>(&text).unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
}

#[test]
fn reads_every_key() {
    let manifest = manifest(FULL);
    let [camera, imu] = &manifest.streams[..] else {
        panic!("{manifest:?}");
    };
    let mut expected = StreamConfig::new(
        "camera/left".parse().unwrap(),
        Schema::tensor(DType::U16, &[480, 640]),
    );
    assert_ne!(*camera, expected);
    expected.slots = Some(12);
    expected.history = 8;
    expected.participants = 16;
    expected.mode = 0o640;
    expected.observers = Some(false);
    expected.huge_pages = true;
    assert_eq!(*camera, expected);
    let payload = "Imu { time: f64, accel: [f32; 2] }".parse().unwrap();
    assert_eq!(*imu, StreamConfig::new("imu".parse().unwrap(), payload));
}

#[test]
fn dtype_and_shape_are_another_way_to_write_the_payload() {
    let payload = config("name = 'a'\npayload = '[[u16; 640]; 480]'");
    assert_eq!(
        config("name = 'a'\ndtype = 'u16'\nshape = [480, 640]"),
        payload
    );
    assert_eq!(
        config("name = 'a'\ndtype = 'uint16'\nshape = [480, 640]"),
        payload
    );
    assert_eq!(
        config("name = 'a'\ndtype = 'u16'"),
        config("name = 'a'\npayload = 'u16'")
    );
    let written = toml::to_string(&payload).unwrap();
    assert!(
        written.contains("payload = \"[[u16; 640]; 480]\""),
        "{written}"
    );
    refused(
        "payload = 'u16'\nshape = [2]",
        "leave out `dtype` and `shape`",
    );
    refused(
        "payload = 'u16'\ndtype = 'u16'",
        "leave out `dtype` and `shape`",
    );
    refused("shape = [2]", "stream `imu`: `shape` needs `dtype`");
    refused("slots = 4", "`payload` is missing, or `dtype` and `shape`");
    refused("dtype = 'u16'\nshape = [2, 0]", "without elements");
    refused("dtype = 'char'", "expected one of Bool, u8");
    refused(
        "dtype = 'u8'\nshape = [1, 1, 1, 1, 1, 1, 1, 1, 1]",
        "8 dimensions",
    );
}

#[test]
fn other_keys_are_refused_and_the_known_ones_named() {
    refused("slot = 4\npayload = 'u8'", "unknown field `slot`");
    refused(
        "slot = 4\npayload = 'u8'",
        "`payload`, `dtype`, `shape`, `slots`, `history`, `participants`, `mode`, `observers`, \
         `huge_pages`",
    );
    let error = toml::from_str::<Manifest>("[[streams]]\nname = 'a'").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("unknown field `streams`, expected `stream`"),
        "{error}"
    );
}

#[test]
fn a_mode_is_text() {
    for (mode, value) in [("'0640'", 0o640), ("'640'", 0o640), ("'0o666'", 0o666)] {
        let config = config(&format!("name = 'a'\npayload = 'u8'\nmode = {mode}"));
        assert_eq!(config.mode, value);
        assert!(
            toml::to_string(&config)
                .unwrap()
                .contains(&format!("mode = \"0{value:o}\""))
        );
    }
    let hint = "expected the mode in octal and in quotes, such as \"0640\"";
    for mode in [
        "640",
        "0o640",
        "'rw-r-----'",
        "'0648'",
        "''",
        "'+640'",
        "'-640'",
        "true",
    ] {
        refused(&format!("payload = 'u8'\nmode = {mode}"), hint);
    }
}

#[test]
fn a_name_occurs_once() {
    let twice = format!("{FULL}\n[[stream]]\nname = 'imu'\npayload = 'u8'");
    let error = toml::from_str::<Manifest>(&twice).unwrap_err().to_string();
    assert!(error.contains("stream `imu` is declared twice"), "{error}");
    let encoded = "[[stream]]\nname='a/'\npayload='u8'\n[[stream]]\nname='a%2f'\npayload='u8'";
    assert!(toml::from_str::<Manifest>(encoded).is_err());
}

#[test]
fn what_cannot_be_a_stream_is_refused() {
    refused(
        "payload = '[u8; 4'",
        "at byte 6: expected `]`, found the end",
    );
    refused(
        "payload = 4",
        "invalid type: integer `4`, expected a string",
    );
    refused("payload = 'u8'\nslots = -1", "invalid value: integer `-1`");
    refused("payload = 'u8'\nhuge_pages = 'yes'", "expected a boolean");
    refused("payload = 'f32'\nhandover = 'event'", "needs `placement`");
    refused("payload = 'f32'\nsharing = 'handle'", "needs `placement`");
    refused(
        "payload = 'f32'\nplacement = 'device-only'\nhandover = 'event'\nsharing = 'descriptor'",
        "by `handle` alone",
    );
    refused(
        "payload = 'f32'\nplacement = 'mirrored'\nhandover = 'event'",
        "`callback` alone",
    );
    refused(
        "payload = 'f32'\nplacement = 'gpu'",
        "unknown variant `gpu`, expected `device-only` or `mirrored`",
    );
    let error = toml::from_str::<StreamConfig>("name = '..'\npayload = 'u8'").unwrap_err();
    assert!(
        error.to_string().contains("cannot be a stream's name"),
        "{error}"
    );
    let error = toml::from_str::<StreamConfig>("payload = 'u8'").unwrap_err();
    assert!(
        error.to_string().contains("missing field `name`"),
        "{error}"
    );
}

#[test]
fn no_stream_is_a_manifest_too() {
    assert_eq!(manifest(""), Manifest::default());
    assert_eq!(
        serde_json::from_str::<Manifest>("{}").unwrap(),
        Manifest::default()
    );
}

#[test]
fn resolving_writes_out_what_follows() {
    let resolved = |keys: &str| config(&format!("name = 'a'\npayload = 'u8'\n{keys}")).resolved();
    let plain = resolved("");
    assert_eq!((plain.slots, plain.observers), (Some(4), Some(false)));
    assert_eq!(plain.payload.to_string(), "[u8; 1]");
    assert_eq!(plain.resolved(), plain);
    assert_eq!(resolved("history = 8").slots, Some(11));
    assert_eq!(resolved("history = 63").slots, Some(64));
    assert_eq!(resolved("slots = 9").slots, Some(9));
    for (mode, observers) in [
        ("0640", true),
        ("0604", true),
        ("0660", false),
        ("0662", false),
    ] {
        assert_eq!(
            resolved(&format!("mode = '{mode}'")).observers,
            Some(observers),
            "{mode}"
        );
    }
    assert_eq!(
        resolved("mode = '0640'\nobservers = false").observers,
        Some(false)
    );
}

#[cfg(feature = "config")]
#[test]
fn errors_say_the_line() {
    let line = |text: &str| Manifest::from_toml(text).unwrap_err().line();
    let with = |more: &str| format!("[[stream]]\nname = 'imu'\n{more}");
    assert_eq!(line(&with("payload = '[u8; 0]'")), Some(3));
    assert_eq!(line(&with("payload = 'u8'\nslot = 4")), Some(4));
    assert_eq!(line(&with("payload = 'u8'\nmode = 640")), Some(4));
    assert_eq!(line(&with("payload = 'u8'\nmode = '640")), Some(4));
    // What no stream can be.
    for option in [
        "slots = 65",
        "history = 0",
        "participants = 2000",
        "mode = '0777'",
    ] {
        assert_eq!(line(&with(&format!("payload = 'u8'\n{option}"))), Some(1));
    }
    let error = Manifest::from_toml(&with("payload = 'u8'\nmode = 640")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 4: invalid type: integer `640`, expected the mode in octal and in quotes, such as \
         \"0640\""
    );
    let error =
        Manifest::from_json("{\"stream\": [\n{\"name\": \"a\", \"payload\": 4}]}").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 2: invalid type: integer `4`, expected a string"
    );
    let header = with("payload = 'u8'\nshape = [3]");
    assert_eq!(line(&format!("\n\n{header}")), Some(3));
    assert_eq!(line("[[stream]]\npayload = 'u8'"), Some(1));
    let error = Manifest::from_path("streams.yaml").unwrap_err();
    assert_eq!(
        error.to_string(),
        "streams.yaml: expected a name that ends in .toml or .json"
    );
}

fn names() -> impl Strategy<Value = crate::StreamName> {
    proptest::collection::vec(any::<u8>(), 1..20)
        .prop_filter_map("a name", |name| crate::StreamName::new(name).ok())
}

prop_compose! {
    fn configs()(
        name in names(),
        shape in proptest::collection::vec(1_usize..1000, 0..4),
        (history, spare) in (1_usize..=63, proptest::option::of(1_usize..64)),
        (participants, mode) in (1_usize..=1024, 0_u32..=0o66),
        observers in any::<Option<bool>>(),
        huge_pages in any::<bool>(),
    ) -> StreamConfig {
        let payload = Schema::tensor(DType::BF16, &shape);
        let slots = spare.map(|spare| (history + spare).min(64));
        let mode = 0o600 | mode & 0o66;
        StreamConfig { name, payload, slots, history, participants, mode, observers, huge_pages, placement: None, handover: None, sharing: None }
    }
}

proptest! {
    #[test]
    fn any_manifest_survives_toml_and_json(streams in proptest::collection::vec(configs(), 0..4)) {
        let manifest = Manifest { streams };
        prop_assume!(manifest.check_names().is_ok());
        let text = toml::to_string(&manifest).unwrap();
        prop_assert_eq!(toml::from_str::<Manifest>(&text).unwrap(), manifest.clone());
        let text = serde_json::to_string(&manifest).unwrap();
        prop_assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), manifest);
    }
}
