//! A stream's file that anything may have written.
//!
//! The input is a header, the schema behind it, and the words of the control block. What follows from
//! others, the checksum, the offsets and the size, is filled in, so that the fuzzer gets past those checks;
//! unless the first byte of the magic is odd: then the input is the file as it is.
#![no_main]

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use shmstream::{
    Bool, DynFrame, DynStream, Error, Item, Pod, ShmPayload, Start, Status, Stream, View, list,
    stat,
};

const NAME: &str = "fuzzed";
/// What errors call the word that says which frame is the latest.
const LATEST: &str = "the latest word";
const SHORT: Duration = Duration::from_millis(1);
/// The largest file that is tried.
const LARGEST: u64 = 4 << 20;

/// Where the fields of a header are, by `docs/protocol.md`.
const MAGIC: &[u8] = b"SHMSTRM\n";
const CHECKSUM: usize = 16;
const FLAGS: usize = 20;
const PAGE: usize = 24;
const TOTAL: usize = 32;
const CONTROL: usize = 40;
const DATA: usize = 48;
const STRIDE: usize = 56;
const SLOTS: usize = 64;
const ROWS: usize = 68;
const SCHEMA_LEN: usize = 104;
const HEADER: usize = 256;
const HEAD: u64 = 512;
const LINE: u64 = 128;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Part {
    gain: [f32; 3],
    id: u32,
    on: [Bool; 8],
}

static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();

fn path() -> PathBuf {
    let directory = DIRECTORY.get().expect("set before anything else");
    directory.join(format!("shmstream.{NAME}"))
}

/// Writes down streams as the library makes them.
fn seed() {
    DIRECTORY.get_or_init(shmstream_fuzz::keep_apart);
    let inputs = [
        ("small", input::<u32, 3>(1, 1)),
        ("large", input::<[f32; 300], 40>(5, 3)),
        ("struct", input::<Part, 4>(9, 2)),
        ("empty", input::<[Part; 2], 1>(0, 1)),
    ];
    shmstream_fuzz::seed("segment", &inputs);
}

fn input<T: Pod, const N: usize>(frames: u64, history: usize) -> Vec<u8> {
    let builder = Stream::<T, N>::builder(NAME)
        .history(history)
        .participants(3);
    let stream = builder.temporary().create().expect("create a stream");
    let reader = stream.subscribe_lossless(Start::New).expect("subscribe");
    for _ in 0..frames {
        stream.clear().expect("write");
        assert!(reader.read().expect("read").is_some());
    }
    let bytes = fs::read(path()).expect("read the file");
    let (header, control) = (
        HEADER + number(&bytes, SCHEMA_LEN, 4),
        number(&bytes, CONTROL, 8),
    );
    let words = &bytes[control..number(&bytes, DATA, 8)];
    let used = words
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |at| at + 1);
    [&bytes[..header], &words[..used]].concat()
}

fn number(bytes: &[u8], at: usize, len: usize) -> usize {
    let mut number = [0; 8];
    if let Some(found) = bytes.get(at..at + len) {
        number[..len].copy_from_slice(found);
    }
    usize::from_ne_bytes(number)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Makes the file that an input asks for.
fn build(input: &[u8]) -> Option<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(true);
    let file = file.open(path()).expect("write a file");
    if input.len() < HEADER || input[0] % 2 != 0 {
        file.write_all_at(input, 0).expect("write a file");
        return Some(file);
    }
    let schema_len = number(input, SCHEMA_LEN, 4) % 4096;
    let (header, words) = input.split_at(input.len().min(HEADER + schema_len));
    let mut header = header.to_vec();
    let schema_len = u32::try_from(header.len() - HEADER).ok()?;
    put(&mut header, 0, MAGIC);
    put(&mut header, 8, &0x0102_0304_u32.to_ne_bytes());
    put(&mut header, 12, &1_u32.to_ne_bytes());
    put(&mut header, PAGE, &4096_u64.to_ne_bytes());
    put(&mut header, SCHEMA_LEN, &schema_len.to_ne_bytes());
    header[112..HEADER].fill(0);
    let (slots, rows) = (
        number(&header, SLOTS, 4) as u64,
        number(&header, ROWS, 4) as u64,
    );
    let control = (header.len() as u64).next_multiple_of(4096);
    let used = control + HEAD + LINE * (slots + rows);
    let unit = if header[FLAGS] % 2 == 0 {
        4096
    } else {
        2 << 20
    };
    let data = used.next_multiple_of(unit);
    put(&mut header, CONTROL, &control.to_ne_bytes());
    put(&mut header, DATA, &data.to_ne_bytes());
    // How large a frame is stands in the schema: the library is asked.
    for (field, at) in [
        ("the distance between slots", STRIDE),
        ("the total size", TOTAL),
    ] {
        sign(&file, &mut header);
        let Err(Error::Corrupt {
            field: found,
            value,
            ..
        }) = stat(NAME)
        else {
            return Some(file);
        };
        let (_, gives) = value.rsplit_once(" gives ").filter(|_| found == field)?;
        let gives: u64 = gives.parse().ok()?;
        put(&mut header, at, &gives.to_ne_bytes());
    }
    sign(&file, &mut header);
    let total = number(&header, TOTAL, 8) as u64;
    if total > LARGEST || control > total {
        return None;
    }
    file.set_len(total).expect("give the file its size");
    let words = &words[..words.len().min(usize::try_from(total - control).ok()?)];
    file.write_all_at(words, control).expect("write a file");
    Some(file)
}

fn sign(file: &File, header: &mut [u8]) {
    put(header, CHECKSUM, &[0; 4]);
    let sum = crc32fast::hash(header);
    put(header, CHECKSUM, &sum.to_ne_bytes());
    file.write_all_at(header, 0).expect("write a file");
}

fuzz_target!(init: seed(), |input: &[u8]| {
    let Some(_file) = build(input) else {
        return;
    };
    let looked = stat(NAME);
    // The header is sound then, and a writer that opens the stream makes a latest frame.
    let without_frame = matches!(&looked, Err(Error::Corrupt { field, .. }) if *field == LATEST);
    let status = said(looked);
    assert!(list().expect("a directory").len() <= 1);
    if let Some(status) = &status {
        describe(status);
    }
    let opened = [
        use_typed::<u32, 3>(),
        use_typed::<[f32; 300], 40>(),
        use_typed::<Part, 4>(),
        use_dynamic(),
        observe(),
    ];
    assert!(
        status.is_some() || without_frame || opened == [false; 5],
        "opened, not looked at"
    );
});

fn said<T>(result: shmstream::Result<T>) -> Option<T> {
    result
        .inspect_err(|error| assert!(error.to_string().contains(NAME), "{error}"))
        .ok()
}

fn describe(status: &Status) {
    let _ = (status.to_string(), status.age(), status.producer(SHORT));
    let _ = format!("{status:?}");
}

fn use_typed<T: Pod, const N: usize>() -> bool {
    let Some(stream) = said(Stream::<T, N>::open(NAME)) else {
        return false;
    };
    let mut buffer = Box::new([T::zeroed(); N]);
    let _ = (stream.lock_holder(), stream.count(), format!("{stream:?}"));
    let _ = said(stream.read())
        .flatten()
        .map(|frame| frame.info().age());
    let _ = said(stream.read_into(&mut buffer));
    let _ = said(stream.write(&buffer));
    let _ = said(stream.read_owned());
    true
}

fn use_dynamic() -> bool {
    let Some(stream) = said(DynStream::open(NAME)) else {
        return false;
    };
    said(stream.status()).iter().for_each(describe);
    if let Some(Some(frame)) = said(stream.read()) {
        look(&frame);
    }
    let plain = said(stream.subscribe(Start::Oldest));
    let lossless = said(stream.subscribe_lossless(Start::Latest));
    let bytes = vec![0xa5; stream.frame_size()];
    for _ in 0..3 {
        let _ = said(stream.write_bytes(&bytes));
        for frames in plain.iter().chain(&lossless) {
            if let Some(Some(frame)) = said(frames.read()) {
                look(&frame);
            }
            let _ = (frames.gap(), frames.behind(), frames.missed());
        }
    }
    let _ = said(stream.loan()).map(|mut loan| {
        loan.bytes_mut().fill(0x5a);
        said(loan.publish())
    });
    let _ = said(stream.lock_timeout(Duration::ZERO)).is_some();
    true
}

fn observe() -> bool {
    let Some(observer) = said(DynStream::observe(NAME)) else {
        return false;
    };
    let _ = (
        observer.count(),
        said(observer.info()),
        said(observer.read()),
    );
    said(observer.status()).iter().for_each(describe);
    true
}

fn look(frame: &DynFrame<'_>) {
    assert_eq!(frame.bytes().len(), frame.schema().size());
    look_into(&frame.view(), 0);
}

/// Looks at the first and the last scalars of a view.
fn look_into(view: &View<'_>, depth: u32) {
    let shape = view.shape();
    let Item::Struct(structure) = view.item() else {
        for scalar in view.scalars().expect("scalars").take(20) {
            let _ = scalar.to_string();
        }
        let last: Vec<_> = shape.iter().map(|len| len - 1).collect();
        let _ = view.scalar(&last).expect("the last").to_string();
        return;
    };
    for field in structure.fields() {
        look_into(&view.field(field.name()).expect("a field"), depth + 1);
    }
    assert!(depth < 16);
}
