//! Streams declared in files: created, left alone, compared; by several processes at once.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use shmstream::config::{Finding, Manifest, StreamConfig};
use shmstream::{DynStream, Error, Schema, Stream, stat, unlink};
use shmstream_tests::{Child, Name, PrivateDir, hear, play, tell};

#[test]
fn child_entry() {
    play(&[("apply", apply)]);
}

fn config(name: &Name, payload: &str) -> StreamConfig {
    StreamConfig::new(name.as_str().parse().unwrap(), payload.parse().unwrap())
}

fn manifest(streams: impl IntoIterator<Item = StreamConfig>) -> Manifest {
    Manifest {
        streams: streams.into_iter().collect(),
    }
}

/// What tells the stream that exists from any other.
fn instance(name: &Name) -> u128 {
    stat(name).unwrap().instance
}

#[test]
fn defaults_are_those_of_the_builder() {
    let (name, plain) = (Name::new("defaults"), Name::new("plain"));
    let declared = config(&name, "[f32; 3]");
    declared.create().unwrap();
    DynStream::create(&plain, "[f32; 3]".parse().unwrap()).unwrap();
    let mut of_plain = StreamConfig::of(&stat(&plain).unwrap());
    of_plain.name = declared.name.clone();
    assert_eq!(of_plain, StreamConfig::of(&stat(&name).unwrap()));
    assert_eq!(of_plain, declared.resolved());

    for history in [2, 8, 62, 63] {
        let name = Name::new("defaults-history");
        let mut declared = config(&name, "u8");
        declared.history = history;
        let _stream = Stream::<u8, 1>::builder(&name)
            .history(history)
            .create()
            .unwrap();
        assert_eq!(declared.difference(&stat(&name).unwrap()), []);
    }
    for mode in [0o600, 0o640, 0o604, 0o644, 0o660, 0o662, 0o664, 0o666] {
        let name = Name::new("defaults-mode");
        let mut declared = config(&name, "u8");
        declared.mode = mode;
        let _stream = Stream::<u8, 1>::builder(&name).mode(mode).create().unwrap();
        assert_eq!(declared.difference(&stat(&name).unwrap()), []);
    }
}

#[test]
fn a_declaration_survives_the_stream_and_the_file() {
    let name = Name::new("round-trip");
    let mut full = config(
        &name,
        "[Imu { time: f64, accel: [f32; 3], gyro: [f32; 3] }; 4]",
    );
    full.slots = Some(7);
    full.history = 5;
    full.participants = 9;
    full.mode = 0o640;
    full.observers = Some(false);
    full.huge_pages = true;
    let plain = config(&name, "Complex<f64>");
    for declared in [full, plain] {
        declared.create().unwrap();
        let found = StreamConfig::of(&stat(&name).unwrap());
        unlink(&name).unwrap();
        assert_eq!(found, declared.resolved());

        let found = manifest([found]);
        assert_eq!(
            Manifest::from_toml(&found.to_toml().unwrap()).unwrap(),
            found
        );
        let json = serde_json::to_string_pretty(&found).unwrap();
        assert_eq!(Manifest::from_json(&json).unwrap(), found);

        // And once more from what was written.
        found.streams[0].create().unwrap();
        assert_eq!(StreamConfig::of(&stat(&name).unwrap()), found.streams[0]);
        unlink(&name).unwrap();
    }
}

#[test]
fn a_declared_stream_is_the_program_s() {
    let name = Name::new("typed");
    let text =
        format!("[[stream]]\nname = '{name}'\ndtype = 'u16'\nshape = [480, 640]\nmode = '0660'");
    let applied = Manifest::from_toml(&text).unwrap().apply();
    assert!(applied.is_complete(), "{applied:?}");
    let stream = Stream::<[u16; 640], 480>::open(&name).unwrap();
    let frame = Box::new([[3; 640]; 480]);
    stream.write(&frame).unwrap();
    assert_eq!(stream.read().unwrap().unwrap()[479][639], 3);
    let mode = fs::metadata(name.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[test]
fn names_each_option_that_differs() {
    let name = Name::new("differs");
    let _stream = Stream::<[f32; 3], 2>::builder(&name)
        .history(4)
        .slots(9)
        .participants(5)
        .mode(0o644)
        .observers(false)
        .huge_pages()
        .create()
        .unwrap();
    let status = stat(&name).unwrap();
    let differences = config(&name, "[f32; 6]").difference(&status);
    let lines: Vec<_> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "payload: [f32; 6] declared, [[f32; 3]; 2] in the stream",
            "history: 1 declared, 4 in the stream",
            "slots: 4 declared, 9 in the stream",
            "participants: 64 declared, 5 in the stream",
            "mode: 0600 declared, 0644 in the stream",
            "huge_pages: false declared, true in the stream",
        ]
    );
    let json = serde_json::to_value(&differences[4]).unwrap();
    let expected = r#"{"what": "mode", "declared": "0600", "found": "0644"}"#;
    assert_eq!(
        json,
        serde_json::from_str::<serde_json::Value>(expected).unwrap()
    );

    let mut same = StreamConfig::of(&status);
    assert_eq!(same.difference(&status), []);
    same.observers = None;
    let [observers] = &same.difference(&status)[..] else {
        panic!("the mode says that there are observers");
    };
    assert_eq!(observers.what, "observers");
}

#[test]
fn the_name_of_a_struct_is_no_difference() {
    let name = Name::new("struct-name");
    config(&name, "Imu { accel: [f32; 3] }").create().unwrap();
    let status = stat(&name).unwrap();
    assert_eq!(
        config(&name, "Other { accel: [f32; 3] }").difference(&status),
        []
    );
    for other in ["Imu { gyro: [f32; 3] }", "[Imu { accel: [f32; 3] }; 2]"] {
        assert_eq!(config(&name, other).difference(&status).len(), 1, "{other}");
    }
}

#[test]
fn creates_what_is_missing_and_leaves_the_rest() {
    let names: [Name; 6] = std::array::from_fn(|i| Name::new(&format!("apply-{i}")));
    let [created, present, differing, foreign, invalid, last] = &names;
    let mut streams: Vec<_> = names.iter().map(|name| config(name, "[f32; 4]")).collect();
    streams[4].history = 64;
    let manifest = manifest(streams);
    Stream::<f32, 4>::create(present)
        .unwrap()
        .write(&[1.0; 4])
        .unwrap();
    Stream::<f64, 4>::create(differing).unwrap();
    fs::write(foreign.path(), "a note").unwrap();
    let before = [present, differing].map(instance);

    let findings = manifest.check();
    let found: Vec<_> = findings.iter().map(|(name, _)| name.to_string()).collect();
    let expected = [created, differing, foreign, invalid, last];
    assert_eq!(found, expected.map(ToString::to_string));
    assert!(matches!(findings[0].1, Finding::Missing));
    assert!(matches!(&findings[1].1, Finding::Differing(of) if of.len() == 1));
    assert!(matches!(
        findings[2].1,
        Finding::Failed(Error::Foreign { .. })
    ));
    assert!(!created.path().exists(), "a check changes nothing");

    let applied = manifest.apply();
    assert!(!applied.is_complete());
    let bytes = |name: &Name| name.as_str().to_owned();
    let listed = |names: &[shmstream::StreamName]| -> Vec<_> {
        names.iter().map(ToString::to_string).collect()
    };
    assert_eq!(listed(&applied.created), [bytes(created), bytes(last)]);
    assert_eq!(listed(&applied.present), [bytes(present)]);
    assert_eq!(applied.differing[0].0.to_string(), bytes(differing));
    assert_eq!(applied.differing.len(), 1);
    let [(first, foreign_error), (second, invalid_error)] = &applied.failed[..] else {
        panic!("{applied:?}");
    };
    assert_eq!(
        (first.to_string(), second.to_string()),
        (bytes(foreign), bytes(invalid))
    );
    assert!(
        matches!(foreign_error, Error::Foreign { .. }),
        "{foreign_error}"
    );
    assert!(
        matches!(invalid_error, Error::Invalid { .. }),
        "{invalid_error}"
    );

    assert_eq!(
        [present, differing].map(instance),
        before,
        "nothing is replaced"
    );
    assert_eq!(
        *Stream::<f32, 4>::open(present)
            .unwrap()
            .read()
            .unwrap()
            .unwrap(),
        [1.0; 4]
    );
    assert_eq!(fs::read_to_string(foreign.path()).unwrap(), "a note");
    assert!(!invalid.path().exists());
}

#[test]
fn findings_and_results_serialise() {
    let names: [Name; 3] = std::array::from_fn(|i| Name::new(&format!("json-{i}")));
    let [missing, differing, foreign] = &names;
    let manifest = manifest(names.iter().map(|name| config(name, "u8")));
    Stream::<u8, 2>::create(differing).unwrap();
    fs::write(foreign.path(), "a note").unwrap();

    let difference = serde_json::json!(
        {"what": "payload", "declared": "[u8; 1]", "found": "[u8; 2]"}
    );
    let findings = serde_json::to_value(manifest.check()).unwrap();
    let [first, second, third] = &findings.as_array().unwrap()[..] else {
        panic!("{findings}");
    };
    assert_eq!(*first, serde_json::json!([missing.as_str(), "missing"]));
    assert_eq!(
        *second,
        serde_json::json!([differing.as_str(), {"differing": [difference]}])
    );
    let error = third[1]["failed"].as_str().unwrap();
    assert!(error.contains("is not a stream"), "{error}");

    let applied = serde_json::to_value(manifest.apply()).unwrap();
    assert_eq!(applied["created"], serde_json::json!([missing.as_str()]));
    assert_eq!(applied["present"], serde_json::json!([]));
    assert_eq!(
        applied["differing"],
        serde_json::json!([[differing.as_str(), [difference]]])
    );
    assert_eq!(applied["failed"][0][0], foreign.as_str());
    assert!(
        applied["failed"][0][1]
            .as_str()
            .unwrap()
            .contains("is not a stream")
    );
}

#[test]
fn findings_are_words_too() {
    let names: [Name; 2] = std::array::from_fn(|i| Name::new(&format!("words-{i}")));
    Stream::<u8, 2>::create(&names[1]).unwrap();
    let manifest = manifest(names.iter().map(|name| config(name, "u8")));
    let words: Vec<_> = manifest
        .check()
        .iter()
        .map(|(_, finding)| finding.to_string())
        .collect();
    assert_eq!(
        words,
        [
            "missing",
            "payload: [u8; 1] declared, [u8; 2] in the stream"
        ]
    );
}

fn apply(arguments: &[String]) {
    let manifest = Manifest::from_path(&arguments[0]).unwrap();
    tell("ready");
    let _ = hear();
    let applied = manifest.apply();
    assert!(applied.is_complete(), "{applied:?}");
    assert_eq!(
        applied.created.len() + applied.present.len(),
        manifest.streams.len()
    );
    tell(applied.created.len());
}

#[test]
fn processes_apply_the_same_file_at_once() {
    const STREAMS: usize = 60;
    let names: Vec<_> = (0..STREAMS)
        .map(|i| Name::new(&format!("race-{i}")))
        .collect();
    let dir = PrivateDir::new();
    let path = dir.path().join("streams.toml");
    let manifest = manifest(names.iter().map(|name| config(name, "[f32; 16]")));
    fs::write(&path, manifest.to_toml().unwrap()).unwrap();

    let mut children = [(); 4].map(|()| Child::spawn("apply", &[&path.display()]));
    children.iter().for_each(|child| child.expect("ready"));
    children.iter_mut().for_each(|child| child.say("go"));
    let created = children.map(|child| {
        let created: usize = child.line().parse().unwrap();
        child.finish();
        created
    });
    assert_eq!(
        created.iter().sum::<usize>(),
        STREAMS,
        "each was created once: {created:?}"
    );
    assert!(manifest.check().is_empty());
}

#[test]
fn a_killed_process_leaves_complete_streams() {
    const STREAMS: usize = 200;
    let names: Vec<_> = (0..STREAMS)
        .map(|i| Name::new(&format!("killed-{i}")))
        .collect();
    let dir = PrivateDir::new();
    let path = dir.path().join("streams.json");
    let manifest = manifest(names.iter().map(|name| config(name, "[f32; 16]")));
    fs::write(&path, serde_json::to_string(&manifest).unwrap()).unwrap();

    let mut child = Child::spawn("apply", &[&path.display()]);
    child.expect("ready");
    child.say("go");
    shmstream_tests::eventually("some streams", || names[STREAMS / 10].path().exists());
    child.kill();
    let all_right = |finding: &Finding| matches!(finding, Finding::Missing);
    assert!(
        manifest
            .check()
            .iter()
            .all(|(_, finding)| all_right(finding))
    );
    let applied = manifest.apply();
    assert!(applied.is_complete(), "{applied:?}");
    assert!(
        !applied.present.is_empty(),
        "the child was killed before it did anything"
    );
}

#[test]
fn files_are_toml_or_json() {
    let name = Name::new("files");
    let manifest = manifest([config(&name, "[f32; 3]")]);
    let dir = PrivateDir::new();
    let write = |file: &str, text: &str| {
        let path = dir.path().join(file);
        fs::write(&path, text).unwrap();
        path
    };
    let toml = write("streams.toml", &manifest.to_toml().unwrap());
    assert_eq!(Manifest::from_path(toml).unwrap(), manifest);
    let json = write("streams.json", &serde_json::to_string(&manifest).unwrap());
    assert_eq!(Manifest::from_path(json).unwrap(), manifest);

    let wrong = write(
        "wrong.toml",
        "[[stream]]\nname = 'a'\npayload = 'u8'\nmode = 640\n",
    );
    let error = Manifest::from_path(&wrong).unwrap_err();
    assert_eq!((error.path(), error.line()), (Some(&*wrong), Some(4)));
    assert!(
        error
            .to_string()
            .contains("wrong.toml, line 4: invalid type: integer `640`")
    );
    let error = Manifest::from_path(dir.path().join("none.toml")).unwrap_err();
    assert!(
        error.to_string().contains("cannot read the file"),
        "{error}"
    );
    assert!(std::error::Error::source(&error).is_some());

    let mut twice = manifest;
    twice.streams.push(config(&name, "u8"));
    let says = format!("stream `{name}` is declared twice");
    assert_eq!(twice.to_toml().unwrap_err().to_string(), says);
}

#[test]
fn schemas_in_files_are_checked_for_what_a_stream_can_carry() {
    let too_deep = format!("{}u8{}", "S { a: ".repeat(17), " }".repeat(17));
    for payload in ["[u8; 0]", "S { a: u8, b: f32 }", &too_deep] {
        let text = format!("[[stream]]\nname = 'a'\npayload = '{payload}'");
        let error = Manifest::from_toml(&text).unwrap_err();
        let of_schema = payload.parse::<Schema>().unwrap_err().to_string();
        assert_eq!(error.to_string(), format!("line 3: {of_schema}"));
    }
}
