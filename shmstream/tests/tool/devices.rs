//! Streams on a device, whose files are made by hand: there need not be a GPU.

use std::fs;

use crate::support::{Child, Dir};

/// Where the header has them, as `docs/protocol.md` says.
const CHECKSUM: usize = 16;
const FLAGS: usize = 20;
const TOTAL: usize = 32;
const DATA: usize = 48;
const STRIDE: usize = 56;
const SCHEMA_LEN: usize = 104;
const DEVICE: usize = 112;
const HEADER: usize = 256;

const ON_DEVICE: u32 = 4;
const UUID: &str = "GPU-00112233-4455-6677-8899-aabbccddeeff";

/// How memory is shared, as the header says it.
const BY_HANDLE: u32 = 1;
const BY_DESCRIPTORS: u32 = 2;

/// Has a stream of four floats in four slots say that it lives on a device.
fn forge(dir: &Dir, name: &str, mirrored: bool) {
    forge_shared(dir, name, mirrored, BY_HANDLE);
}

fn forge_shared(dir: &Dir, name: &str, mirrored: bool, sharing: u32) {
    dir.create(&[name]);
    let file = dir.file(name);
    let mut bytes = fs::read(&file).expect("read the file");
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(FLAGS, &ON_DEVICE.to_ne_bytes());
    let uuid: Vec<u8> = (0..16).map(|digit| digit * 0x11).collect();
    put(DEVICE, &uuid);
    let placement = if mirrored { 2_u32 } else { 1 };
    // Handed over by callback.
    for (field, value) in [placement, 1, sharing].into_iter().enumerate() {
        put(DEVICE + 16 + 4 * field, &value.to_ne_bytes());
    }
    // Slots of 512 bytes in a block of 2 MiB.
    put(DEVICE + 32, &512_u64.to_ne_bytes());
    put(DEVICE + 40, &(2_u64 << 20).to_ne_bytes());
    if !mirrored {
        // No room for payloads.
        let data: [u8; 8] = bytes[DATA..DATA + 8].try_into().expect("eight bytes");
        bytes[TOTAL..TOTAL + 8].copy_from_slice(&data);
        bytes[STRIDE..STRIDE + 8].fill(0);
        let total = usize::try_from(u64::from_ne_bytes(data)).expect("a small file");
        bytes.truncate(total);
    }
    bytes[CHECKSUM..CHECKSUM + 4].fill(0);
    let schema: [u8; 4] = bytes[SCHEMA_LEN..SCHEMA_LEN + 4]
        .try_into()
        .expect("four bytes");
    let end = HEADER + usize::try_from(u32::from_ne_bytes(schema)).expect("a short schema");
    let sum = crc32fast::hash(&bytes[..end]);
    bytes[CHECKSUM..CHECKSUM + 4].copy_from_slice(&sum.to_ne_bytes());
    fs::write(&file, bytes).expect("write the file");
}

#[test]
fn list_tells_streams_on_a_device_from_others() {
    let dir = Dir::new();
    dir.create(&["host"]);
    forge(&dir, "alone", false);
    forge(&dir, "mirrored", true);
    let list = dir.tool(&["list"]).exits(0).out();
    let line = |name: &str| {
        let mut lines = list.lines();
        let line = lines.find(|line| line.split_whitespace().next() == Some(name));
        line.unwrap_or_else(|| panic!("no {name} in {list}"))
    };
    assert!(line("alone").ends_with("[f32; 4], on a GPU"), "{list}");
    assert!(
        line("mirrored").ends_with("[f32; 4], on a GPU, mirrored"),
        "{list}"
    );
    assert!(line("host").ends_with("[f32; 4]"), "{list}");
    let json = dir.tool(&["list", "--json"]).exits(0).json();
    assert_eq!(json[0]["device"]["uuid"], UUID);
    assert_eq!(json[0]["device"]["placement"], "device-only");
    assert_eq!(json[2]["device"]["placement"], "mirrored");
    assert!(json[1]["device"].is_null());
}

#[test]
fn info_says_on_which_device_and_whether_it_is_there() {
    let dir = Dir::new();
    forge(&dir, "alone", false);
    let info = dir.tool(&["info", "alone"]).exits(0).out();
    let device = info
        .lines()
        .find(|line| line.trim_start().starts_with("device"));
    let device = device.unwrap_or_else(|| panic!("no device in {info}"));
    for words in [
        UUID,
        "on a GPU",
        "2097152 bytes by memory handle",
        "handed over by callback",
        "its process is gone",
    ] {
        assert!(device.contains(words), "{words}: {device}");
    }
    let json = dir.tool(&["info", "alone", "--json"]).exits(0).json();
    assert_eq!(json["device"]["uuid"], UUID);
    assert_eq!(json["device"]["handover"], "callback");
    assert_eq!(json["device"]["sharing"], "handle");
    assert_eq!(json["device"]["shared"], false);
    assert_eq!(json["participants"].as_array().map(Vec::len), Some(0));
}

#[test]
fn info_says_how_memory_is_shared_and_whether_anybody_has_it() {
    let dir = Dir::new();
    forge_shared(&dir, "shared", false, BY_DESCRIPTORS);
    let info = dir.tool(&["info", "shared"]).exits(0).out();
    for words in ["2097152 bytes by descriptors", "no process that had it"] {
        assert!(info.contains(words), "{words}: {info}");
    }
    let json = dir.tool(&["info", "shared", "--json"]).exits(0).json();
    assert_eq!(json["device"]["sharing"], "descriptor");
    assert_eq!(json["device"]["shared"], false);
    // Attending does not count: that takes nobody's memory.
    let _child = Child::start("attend", "shared", Some(&dir));
    let json = dir.tool(&["info", "shared", "--json"]).exits(0).json();
    assert_eq!(json["device"]["shared"], false);
}

#[test]
fn info_shows_who_attends_without_a_gpu() {
    let dir = Dir::new();
    forge(&dir, "alone", false);
    let child = Child::start("attend", "alone", Some(&dir));
    let info = dir.tool(&["info", "alone"]).exits(0).out();
    assert!(info.contains("1 of 64"), "{info}");
    let json = dir.tool(&["info", "alone", "--json"]).exits(0).json();
    let one = &json["participants"][0];
    assert_eq!(one["pid"], child.pid());
    assert_eq!(one["alive"], true);
    assert_eq!(one["pinned"], 0);
    child.kill();
    let info = dir.tool(&["info", "alone"]).exits(0).out();
    assert!(info.contains("0 of 64, and 1 that died"), "{info}");
}

#[test]
fn frames_are_shown_where_there_is_a_mirror() {
    let dir = Dir::new();
    forge(&dir, "alone", false);
    forge(&dir, "mirrored", true);
    let refused = dir.tool(&["dump", "alone"]);
    assert!(!refused.0.status.success());
    let words = refused.err();
    assert!(words.contains("CudaStream"), "{words}");
    // None so far.
    let empty = dir.tool(&["dump", "mirrored"]);
    assert!(!empty.err().contains("CudaStream"), "{}", empty.err());
    dir.tool(&["unlink", "alone", "mirrored"]).exits(0);
}
