//! `unlink`, `purge`, `apply` and `check`.

use std::fs;

use serde_json::json;

use crate::support::{Child, Dir};

#[test]
fn unlinks_each_that_it_can() {
    let dir = Dir::new();
    dir.create(&["a", "b"]);
    fs::write(dir.file("foreign"), "something else").unwrap();
    let silent = dir.tool(&["unlink", "a"]).exits(0);
    assert_eq!((silent.out(), silent.err()), (String::new(), String::new()));
    // The code is that of the first that failed; the others are not kept from going.
    let run = dir.tool(&["unlink", "absent", "foreign", "b"]).exits(3);
    assert_eq!(run.err().lines().count(), 2, "{}", run.err());
    assert!(!dir.file("b").exists());
    assert!(dir.file("foreign").exists());
    dir.tool(&["unlink", "foreign"])
        .complains(4, "not a stream");
}

#[test]
fn unlinks_damaged_streams() {
    let dir = Dir::new();
    fs::write(dir.file("broken"), b"SHMSTRM\n").unwrap();
    dir.tool(&["unlink", "broken"]).exits(0);
    assert!(!dir.file("broken").exists());
}

#[test]
fn purges_what_nobody_uses() {
    let dir = Dir::new();
    dir.create(&["idle"]);
    Child::start("hold", "killed", Some(&dir)).kill();
    let _child = Child::start("hold", "used", Some(&dir));
    fs::write(dir.file("broken"), b"SHMSTRM\n").unwrap();
    fs::write(dir.file("foreign"), "something else").unwrap();

    dir.tool(&["purge"]).complains(2, "--yes");
    let dry = dir.tool(&["purge", "--dry-run", "--json"]).exits(0).json();
    assert_eq!(dry["dry_run"], true);
    assert_eq!(dry["unlinked"], json!(["idle", "killed"]));
    assert!(dir.file("idle").exists());

    let done = dir.tool(&["purge", "--yes", "--json"]).exits(0).json();
    assert_eq!(done["unlinked"], json!(["idle", "killed"]));
    assert_eq!(
        done["kept"],
        json!([{"name": "broken", "reason": "damaged"}, {"name": "used", "reason": "in use"}])
    );
    assert!(!dir.file("idle").exists() && !dir.file("killed").exists());
    assert!(dir.file("used").exists() && dir.file("broken").exists());

    let forced = dir.tool(&["purge", "--yes", "--force"]).exits(0);
    assert_eq!(forced.out(), "broken\nused\n");
    assert!(dir.file("foreign").exists());
    // Nothing is left to ask about.
    dir.tool(&["purge"]).exits(0);
}

const DECLARED: &str = "
[[stream]]
name = 'image'
payload = '[[u16; 640]; 480]'
history = 3

[[stream]]
name = 'imu'
payload = 'Imu { time: f64, accel: [f32; 3], gyro: [f32; 3] }'
mode = '0640'
";

#[test]
fn applies_and_checks_what_is_declared() {
    let dir = Dir::new();
    let file = dir.declare(DECLARED);
    let file = file.to_str().unwrap();

    let check = dir.tool(&["check", "--json", file]).exits(1).json();
    assert_eq!(check["complete"], false);
    assert_eq!(
        check["streams"][0],
        json!({"name": "image", "state": "missing"})
    );

    let applied = dir.tool(&["apply", file]).exits(0).out();
    assert_eq!(applied, "created  image\ncreated  imu\n");
    let again = dir.tool(&["apply", "--json", file]).exits(0).json();
    assert_eq!(again["complete"], true);
    assert_eq!(
        again["streams"][1],
        json!({"name": "imu", "state": "present"})
    );
    dir.tool(&["check", file]).exits(0);

    let other = DECLARED.replace("640]", "320]").replace("0640", "0600");
    let other = dir.declare(&other);
    let other = other.to_str().unwrap();
    let check = dir.tool(&["check", other]).exits(1).out();
    assert!(
        check.contains("payload: [[u16; 320]; 480] declared, [[u16; 640]; 480] found"),
        "{check}"
    );
    let check = dir.tool(&["apply", "--json", other]).exits(1).json();
    assert_eq!(check["streams"][1]["state"], "differs");
    assert_eq!(
        check["streams"][1]["differences"][0],
        json!({"what": "mode", "declared": "0600", "found": "0640"})
    );
}

#[test]
fn says_what_cannot_be_created() {
    let dir = Dir::new();
    let file = dir.declare("[[stream]]\nname = 'image'\npayload = '[f64; 900000000000]'\n");
    let run = dir.tool(&["apply", file.to_str().unwrap()]).exits(8);
    assert!(run.out().contains("image"), "{}", run.out());
    fs::write(dir.file("broken"), b"SHMSTRM\n").unwrap();
    let file = dir.declare("[[stream]]\nname = 'broken'\npayload = 'f32'\n");
    let file = file.to_str().unwrap();
    assert!(
        dir.tool(&["apply", file])
            .exits(5)
            .out()
            .contains("damaged")
    );
    assert!(
        dir.tool(&["check", file])
            .exits(1)
            .out()
            .contains("damaged")
    );
}

#[test]
fn refuses_files_that_declare_nothing() {
    let dir = Dir::new();
    let file = dir.declare("[[stream]]\nname = 'imu'\npayload = '[f32; 3'\n");
    dir.tool(&["check", file.to_str().unwrap()])
        .complains(2, "line 3");
    dir.tool(&["apply", "/nowhere.toml"])
        .complains(8, "/nowhere.toml");
    dir.tool(&["apply", "/dev/null"]).complains(2, ".toml");
}
