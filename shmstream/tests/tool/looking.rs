//! `list`, `info`, `dump` and `doctor`, and that they leave no trace.

use std::fs;

use shmstream::{Bool, ShmPayload, Stream, bf16};

use crate::support::{Child, Dir, Name, Run, tool};

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Pose {
    position: [f32; 3],
    gain: f32,
}

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample {
    id: u64,
    poses: [Pose; 2],
    on: [Bool; 8],
}

fn sample(id: u64) -> Sample {
    let pose = |x| Pose {
        position: [x, 0.5, f32::NAN],
        gain: 1.0,
    };
    Sample {
        id,
        poses: [pose(0.1), pose(-2.0)],
        on: [Bool::from(true); 8],
    }
}

#[test]
fn lists_streams_and_their_state() {
    let dir = Dir::new();
    let nothing = dir.tool(&["list"]).exits(0);
    assert_eq!(
        (nothing.out().as_str(), nothing.err().as_str()),
        ("", "no streams\n")
    );

    dir.create(&["quiet"]);
    Child::start("publish", "killed", Some(&dir)).kill();
    let child = Child::start("publish", "busy", Some(&dir));
    let list = dir.tool(&["list"]).exits(0).out();
    let lines: Vec<Vec<_>> = list
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines.len(), 4, "{list}");
    assert_eq!(lines[0][..3], ["NAME", "STATE", "COUNT"]);
    assert_eq!(lines[1][..2], ["busy", "active"]);
    assert_eq!(lines[2][..2], ["killed", "dead"]);
    assert_eq!(lines[3][..3], ["quiet", "none", "0"]);

    let json = dir.tool(&["list", "--json"]).exits(0).json();
    assert_eq!(json[0]["name"], "busy");
    assert_eq!(json[0]["state"], "active");
    assert_eq!(json[0]["publisher"], child.pid());
    assert_eq!(json[0]["schema"], "[u64; 32]");
    assert!(json[0]["age_ns"].is_u64());
    assert_eq!(json[1]["participants"][0]["alive"], false);
    assert_eq!(json[2]["participants"].as_array().map(Vec::len), Some(0));
    assert!(json[2]["age_ns"].is_null());
}

#[test]
fn describes_a_stream() {
    let name = Name::new("info");
    let stream = Stream::<Sample, 1>::builder(&name)
        .mode(0o640)
        .create()
        .unwrap();
    stream.write_with_id(7, &[sample(1)]).unwrap();
    let out = Run::new(&["info", &name.0]).exits(0).out();
    for words in [
        "mode 0640",
        "48 B, Sample",
        "frame 1, id 7",
        "poses.position",
        "1 of 64",
        "write lock    free",
    ] {
        assert!(out.contains(words), "{words}: {out}");
    }
    let json = Run::new(&["info", "--json", &name.0]).exits(0).json();
    assert_eq!(json["name"], name.0);
    assert_eq!(json["latest"]["frame_id"], 7);
    assert_eq!(json["participants"][0]["pid"], std::process::id());
    assert_eq!(json["participants"][0]["roles"]["writer"], true);
}

#[test]
fn dumps_the_latest_frame() {
    let name = Name::new("dump");
    let stream = Stream::<Sample, 2>::create(&name).unwrap();
    Run::new(&["dump", &name.0]).complains(1, "no frame");
    stream.write(&[sample(1), sample(u64::MAX)]).unwrap();

    let text = Run::new(&["dump", &name.0]).exits(0).out();
    assert!(text.contains("position: [-2.0, 0.5, NaN]"), "{text}");
    assert!(text.contains("18446744073709551615"), "{text}");

    let json = Run::new(&["dump", "--format", "json", &name.0])
        .exits(0)
        .json();
    assert_eq!(json["count"], 1);
    assert_eq!(json["value"][1]["id"], u64::MAX);
    assert_eq!(json["value"][0]["poses"][0]["position"][0], 0.1);
    assert_eq!(json["value"][0]["poses"][0]["position"][2], "NaN");
    assert_eq!(json["value"][0]["on"][7], true);

    let json = Run::new(&["dump", "-f", "json", "--field", "poses.gain", &name.0]);
    let json = json.exits(0).json();
    assert_eq!(json["payload"], "[[f32; 2]; 2]");
    assert_eq!(json["value"], serde_json::json!([[1.0, 1.0], [1.0, 1.0]]));

    Run::new(&["dump", "--field", "poses.angle", &name.0])
        .complains(2, "its fields are: position, gain");
}

#[test]
fn writes_npy_files() {
    let name = Name::new("npy");
    let stream = Stream::<Sample, 2>::create(&name).unwrap();
    stream.write(&[sample(1), sample(2)]).unwrap();
    let npy = Run::new(&["dump", "--format", "npy", &name.0])
        .exits(0)
        .0
        .stdout;
    assert_eq!(&npy[..8], b"\x93NUMPY\x01\x00");
    let text = String::from_utf8_lossy(&npy[..256]);
    assert!(
        text.contains(
            "'descr': [('id', '<u8'), ('poses', [('position', '<f4', (3,)), ('gain', '<f4')], (2,)), \
             ('on', '|b1', (8,))], 'fortran_order': False, 'shape': (2,), "
        ),
        "{text}"
    );
    let header = 10 + usize::from(u16::from_le_bytes([npy[8], npy[9]]));
    assert_eq!(header % 64, 0);
    assert_eq!(npy.len(), header + 2 * size_of::<Sample>());
    assert_eq!(npy[header..header + 8], 1_u64.to_ne_bytes());

    // By the extension, and byte for byte what the standard output gets.
    let dir = Dir::new();
    let file = dir.0.join("frame.npy");
    let path = file.to_str().unwrap();
    let silent = Run::new(&["dump", "--output", path, &name.0]).exits(0);
    assert_eq!((silent.out(), silent.err()), (String::new(), String::new()));
    assert_eq!(fs::read(&file).unwrap(), npy);
}

#[test]
fn says_that_numpy_has_no_bfloat16() {
    let name = Name::new("bf16");
    let stream = Stream::<bf16, 2>::create(&name).unwrap();
    stream
        .write(&[bf16::from_f32(1.5), bf16::from_f32(-2.0)])
        .unwrap();
    let run = Run::new(&["dump", "--format", "npy", &name.0]).complains(0, "bfloat16");
    assert!(String::from_utf8_lossy(&run.0.stdout).contains("'<u2'"));
}

#[test]
fn abridges_large_arrays_unless_asked_for_all() {
    let name = Name::new("large");
    let stream = Stream::<[u16; 100], 100>::create(&name).unwrap();
    stream.write(&[[7; 100]; 100]).unwrap();
    let text = Run::new(&["dump", &name.0]).exits(0).out();
    assert_eq!(text.lines().count(), 1 + 7, "{text}");
    let full = Run::new(&["dump", "--full", &name.0]).exits(0).out();
    assert_eq!(
        full.matches('7').count() - full.lines().next().unwrap().matches('7').count(),
        10_000
    );
}

#[test]
fn looks_without_a_trace() {
    let name = Name::new("trace");
    let stream = Stream::<f32, 4>::create(&name).unwrap();
    stream.write(&[0.5; 4]).unwrap();
    let before = fs::read(name.path()).unwrap();
    for arguments in [
        &["list"][..],
        &["info", &name.0],
        &["dump", &name.0],
        &["watch", "-n", "1", "--values", &name.0],
        &["doctor"],
    ] {
        Run::new(arguments);
        assert_eq!(fs::read(name.path()).unwrap(), before, "{arguments:?}");
    }
    assert_eq!(stream.status().unwrap().participants.len(), 1);
}

#[test]
fn examines_the_machine() {
    let dir = Dir::new();
    dir.create(&["left-over"]);
    let report = dir.tool(&["doctor", "--json"]).json();
    let checks = report["checks"].as_array().unwrap();
    let of = |name: &str| {
        let found = checks.iter().find(|check| check["check"] == name);
        found.unwrap_or_else(|| panic!("{name}"))
    };
    assert_eq!(of("directory")["verdict"], "ok");
    assert!(of("space")["figures"]["free_bytes"].is_u64());
    assert_eq!(of("leftovers")["verdict"], "warn");
    assert!(
        of("leftovers")["found"]
            .as_str()
            .unwrap()
            .contains("left-over")
    );
    for check in checks {
        assert_eq!(
            check["verdict"] == "ok",
            check["advice"].is_null(),
            "{check}"
        );
    }

    fs::write(dir.file("broken"), b"SHMSTRM\n").unwrap();
    let text = dir.tool(&["doctor"]).exits(1).out();
    assert!(text.contains("problem  damaged"), "{text}");
    assert!(text.contains("`broken`"), "{text}");

    let text = Run::of(tool(&["doctor"]).env("SHMSTREAM_DIR", "/nowhere"))
        .exits(1)
        .out();
    assert!(text.contains("/nowhere is not a directory"), "{text}");
}

#[test]
fn explains_itself() {
    let help = Run::new(&["--help"]).exits(0).out();
    for words in [
        "Exit codes:",
        "5  the stream is damaged",
        "SHMSTREAM_DIR",
        "doctor",
    ] {
        assert!(help.contains(words), "{help}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Run::new(&["completions", shell]).exits(0).out();
        assert!(script.contains("doctor"), "{shell}");
    }
    assert!(
        Run::new(&["--version"])
            .exits(0)
            .out()
            .starts_with("shmstream ")
    );
}
