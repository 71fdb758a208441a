//! Damaged and forged files: whatever lies under a stream's name, a program that opens it gets an
//! error or a handle that works, and neither panics nor hangs nor crashes nor takes all memory.
//!
//! `SHMSTREAM_MUTATIONS` says how many files are tried, and `SHMSTREAM_SEED` with which one to begin:
//! the files of seed `s` are those of the seeds `s`, `s + 1`, .... So a failure, which names its seed,
//! comes again with that seed and one mutation.

use std::fmt::{Debug, Display};
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use shmstream::{
    Bool, DynFrame, DynStream, Error, Item, Observer, Pod, Schema, ShmPayload, Start, Status,
    Stream, StreamConfig, View, list, stat, unlink,
};
use shmstream_tests::{Child, DEADLINE, Dice, PrivateDir, argument, path_of, play, tell};

const MUTATIONS: u64 = 15_000;
const SEED: u64 = 0x5eed;
/// The address space of the process that opens the files. They are far smaller.
const SPACE: u64 = 1 << 30;
/// The largest file that is tried.
const LARGEST: u64 = 16 << 20;
const NAME: &str = "mutated";
/// What errors call the word that says which frame is the latest.
const LATEST: &str = "the latest word";
const SHORT: Duration = Duration::from_millis(1);

/// Where the fields of a header are, by `docs/protocol.md`.
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
const HISTORY: usize = 108;
const HEADER: usize = 256;
const HEAD: usize = 512;
const LINE: usize = 128;
const ATTACHED: usize = 384;

#[derive(Clone, Copy, Debug, PartialEq, ShmPayload)]
#[repr(C)]
struct Pose {
    position: [f64; 3],
    on: [Bool; 8],
}

#[derive(Clone, Copy, Debug, PartialEq, ShmPayload)]
#[repr(C)]
struct State {
    time: u64,
    poses: [[Pose; 2]; 3],
    path: [u16; 4],
}

type Tensor = Stream<[f32; 4], 3>;
type Nested = Stream<State, 2>;

/// A valid file to begin with.
struct Template {
    label: &'static str,
    bytes: Vec<u8>,
    /// The size of an element of its frames.
    item: usize,
    /// Whether the rows in it stand for participants that live.
    alive: bool,
}

#[test]
fn child_entry() {
    play(&[("try_all", try_all)]);
}

fn size(value: u64) -> usize {
    usize::try_from(value).unwrap()
}

fn word32(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().unwrap()))
}

fn word64(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 8)?;
    Some(u64::from_ne_bytes(bytes.try_into().unwrap()))
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(there) = bytes.get_mut(at..at + value.len()) {
        there.copy_from_slice(value);
    }
}

/// The checksum that a header should have; `None` where the file ends before the header does.
fn checksum(bytes: &[u8]) -> Option<u32> {
    let len = usize::try_from(word32(bytes, SCHEMA_LEN)?).ok()?;
    let header = bytes.get(..HEADER.checked_add(len)?)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header[..CHECKSUM]);
    hasher.update(&[0; 4]);
    hasher.update(&header[CHECKSUM + 4..]);
    Some(hasher.finalize())
}

fn sign(bytes: &mut [u8]) {
    if let Some(sum) = checksum(bytes) {
        put(bytes, CHECKSUM, &sum.to_ne_bytes());
    }
}

/// Takes the file of a stream that is in use, and takes the stream away.
fn template<T: Pod, const N: usize>(
    label: &'static str,
    stream: &Stream<T, N>,
    alive: bool,
) -> Template {
    let bytes = fs::read(stream.path()).unwrap();
    stream.unlink().unwrap();
    Template {
        label,
        bytes,
        item: size_of::<T>(),
        alive,
    }
}

fn templates() -> Vec<Template> {
    let tensor = || Tensor::builder("template").participants(8);
    let frame = [[0.5; 4]; 3];
    let mut all = Vec::new();

    let stream = tensor().create().unwrap();
    stream.write(&frame).unwrap();
    all.push(template("tensor", &stream, false));

    let stream = Nested::builder("template")
        .participants(8)
        .create()
        .unwrap();
    stream.clear().unwrap();
    all.push(template("nested", &stream, false));

    let stream = tensor().history(6).create().unwrap();
    for _ in 0..20 {
        stream.write(&frame).unwrap();
    }
    all.push(template("history", &stream, false));

    let stream = tensor().observers(true).create().unwrap();
    stream.write(&frame).unwrap();
    all.push(template("observers", &stream, false));

    let stream = tensor().slots(2).huge_pages().create().unwrap();
    stream.write(&frame).unwrap();
    all.push(template("huge pages", &stream, false));

    for (label, alive) in [
        ("participants that died", false),
        ("participants that live", true),
    ] {
        let stream = tensor().history(2).create().unwrap();
        let lossless = stream.subscribe_lossless(Start::New).unwrap();
        stream.write(&frame).unwrap();
        let other = stream.try_clone().unwrap();
        let held = other.read().unwrap();
        stream.write(&frame).unwrap();
        let guard = other.try_lock().unwrap();
        all.push(template(label, &stream, alive));
        drop((guard, held, lossless));
    }
    all
}

/// A number that programs stumble over.
fn interesting(dice: &mut Dice, bytes: &[u8]) -> u64 {
    match dice.below(9) {
        0 => 0,
        1 => 1,
        2 => u64::MAX,
        3 => 1 << dice.below(64),
        4 => (1 << dice.below(64)) - 1,
        5 => 4096 << dice.below(10),
        6 => bytes.len() as u64,
        7 => dice.below(300),
        _ => dice.next(),
    }
}

/// A place in the file; mostly where something stands.
fn place(dice: &mut Dice, bytes: &[u8]) -> usize {
    let header = HEADER as u64 + u64::from(word32(bytes, SCHEMA_LEN).unwrap_or(0)).min(1 << 10);
    let control = word64(bytes, CONTROL).unwrap_or(4096).min(1 << 16);
    let at = match dice.below(5) {
        0 | 1 => dice.below(header),
        2 => HEADER as u64 + dice.below(header - HEADER as u64 + 1),
        3 => control + dice.below((HEAD + 16 * LINE) as u64 / 8) * 8,
        _ => dice.below(bytes.len().max(1) as u64),
    };
    size(at)
}

/// Changes one thing.
fn damage(bytes: &mut Vec<u8>, item: usize, dice: &mut Dice) {
    let at = place(dice, bytes);
    match dice.below(12) {
        0..=2 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
        }
        3..=5 => {
            let value = interesting(dice, bytes).to_ne_bytes();
            put(bytes, at, &value[..1 << dice.below(4)]);
        }
        6 => {
            // Nearly right is harder to tell from right.
            let value = word32(bytes, at & !3).unwrap_or(0);
            let value = value.wrapping_add_signed([-2, -1, 1, 2][size(dice.below(4))]);
            put(bytes, at & !3, &value.to_ne_bytes());
        }
        7 => bytes.truncate(match dice.below(3) {
            0 => at,
            1 => size(dice.below(bytes.len() as u64 / 4096 + 1)) * 4096,
            _ => size(dice.below(bytes.len() as u64 + 1)),
        }),
        8 => {
            let more = [1, 4096, dice.below(1 << 20)][size(dice.below(3))];
            bytes.resize(bytes.len() + size(more), 0);
        }
        9 => {
            let len = 1 << dice.below(9);
            let other = place(dice, bytes);
            if at.max(other) + len <= bytes.len() && at.abs_diff(other) >= len {
                let (low, high) = bytes.split_at_mut(at.max(other));
                low[at.min(other)..][..len].swap_with_slice(&mut high[..len]);
            }
        }
        _ => redesign(bytes, item, dice),
    }
}

/// Changes a word that processes share.
fn scribble(bytes: &mut [u8], dice: &mut Dice) {
    let control = size(word64(bytes, CONTROL).unwrap());
    let words = [HEAD, HEAD + 16 * LINE][size(dice.below(2))] / 4;
    let at = control + 4 * size(dice.below(words as u64));
    let value = interesting(dice, bytes).to_ne_bytes();
    put(bytes, at, &value[..4 << dice.below(2)]);
}

/// Makes the header that of another stream: the layout follows from what it says now, and the file
/// has the size for it, as with a program that means harm and knows the format.
fn redesign(bytes: &mut Vec<u8>, item: usize, dice: &mut Dice) {
    let number = |dice: &mut Dice, at: usize, limit: u64| {
        let value = u32::try_from(dice.below(limit)).unwrap();
        (at, value.to_ne_bytes().to_vec())
    };
    let (at, value) = match dice.below(5) {
        0 => number(dice, SLOTS, 70),
        1 => number(dice, ROWS, 1100),
        2 => number(dice, HISTORY, 66),
        3 => number(dice, FLAGS, 5),
        // The outermost dimension, little-endian.
        _ => (HEADER + 1, dice.below(1 << 12).to_le_bytes().to_vec()),
    };
    put(bytes, at, &value);
    if lay_out(bytes, item).is_none() {
        bytes.truncate(LARGEST.try_into().unwrap());
    }
}

/// Fills in the fields that follow from others, and gives the file its size.
fn lay_out(bytes: &mut Vec<u8>, item: usize) -> Option<()> {
    let page = size(word64(bytes, PAGE).filter(|page| page.is_power_of_two() && *page < 1 << 20)?);
    let number = |bytes: &[u8], at| Some(usize::try_from(word32(bytes, at)?).unwrap());
    let (slots, rows) = (number(bytes, SLOTS)?, number(bytes, ROWS)?);
    let schema = number(bytes, SCHEMA_LEN)?;
    let outer: [u8; 8] = bytes.get(HEADER + 1..HEADER + 9)?.try_into().unwrap();
    let frame = usize::try_from(u64::from_le_bytes(outer))
        .ok()?
        .checked_mul(item)?;
    let up = |size: usize, unit: usize| size.checked_next_multiple_of(unit);
    let control = up(HEADER.checked_add(schema)?, page)?;
    let lines = LINE.checked_mul(slots.checked_add(rows)?)?;
    let huge = number(bytes, FLAGS)? & 1 != 0;
    let unit = if huge { 2 << 20 } else { page };
    let data = up(control.checked_add(HEAD)?.checked_add(lines)?, unit)?;
    let stride = up(frame, if frame < page { LINE } else { page })?;
    let total = data.checked_add(up(stride.checked_mul(slots)?, page)?)?;
    if total as u64 > LARGEST {
        return None;
    }
    for (at, value) in [
        (CONTROL, control),
        (DATA, data),
        (STRIDE, stride),
        (TOTAL, total),
    ] {
        put(bytes, at, &(value as u64).to_ne_bytes());
    }
    bytes.resize(total, 0);
    Some(())
}

/// Writes the file, leaving out the pages that are zero: with huge pages most are.
fn store(bytes: &[u8]) -> File {
    let path = path_of(NAME);
    let _ = fs::remove_file(&path);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for (i, page) in bytes.chunks(4096).enumerate() {
        if page != &[0; 4096][..page.len()] {
            file.write_all_at(page, i as u64 * 4096).unwrap();
        }
    }
    file
}

/// Locks the rows that are attached by the file's own words, as their owners would.
fn lock_rows(file: &File, bytes: &[u8]) {
    let control = word64(bytes, CONTROL).unwrap_or(0);
    let at = usize::try_from(control)
        .unwrap_or(0)
        .saturating_add(ATTACHED);
    let attached = word64(bytes, at.min(bytes.len())).unwrap_or(0);
    for row in (0..64).filter(|row| attached >> row & 1 != 0) {
        let lock = libc::flock {
            l_type: libc::F_WRLCK.try_into().unwrap(),
            l_whence: libc::SEEK_SET.try_into().unwrap(),
            l_start: 1 + row,
            l_len: 1,
            l_pid: 0,
        };
        // SAFETY: `fcntl` asks for an open descriptor and, with this command, for a pointer to a
        // lock, which is only read: both live until it returns.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }
}

/// What became of one file.
#[derive(Default)]
struct Tally {
    refused: u64,
    /// All the others; of those, how many with a header that is not the template's.
    accepted: u64,
    forged: u64,
}

fn try_all(arguments: &[String]) {
    let (seed, mutations): (u64, u64) = (argument(arguments, 0), argument(arguments, 1));
    let templates = templates();
    for one in &templates {
        let mut signed = one.bytes.clone();
        lay_out(&mut signed, one.item).unwrap();
        sign(&mut signed);
        assert!(
            signed == one.bytes,
            "{}: the forger knows the format",
            one.label
        );
        let _file = store(&one.bytes);
        assert!(stat(NAME).is_ok() && DynStream::open(NAME).is_ok());
    }
    // What an allocation that follows a forged number would hit.
    let limit = Some(SPACE);
    setrlimit(
        Resource::As,
        Rlimit {
            current: limit,
            maximum: limit,
        },
    )
    .unwrap();
    let mut tally = Tally::default();
    for seed in (0..mutations).map(|i| seed.wrapping_add(i)) {
        tell(seed);
        let mut dice = Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let template = &templates[size(dice.below(templates.len() as u64))];
        let tried = catch_unwind(AssertUnwindSafe(|| {
            try_one(template, &mut dice, &mut tally)
        }));
        assert!(tried.is_ok(), "seed {seed}, {}", template.label);
    }
    let Tally {
        refused,
        accepted,
        forged,
    } = tally;
    tell(format!("{refused} {accepted} {forged}"));
}

fn try_one(template: &Template, dice: &mut Dice, tally: &mut Tally) {
    let mut bytes = template.bytes.clone();
    // Behind a header as it was, the words that processes share; or anything.
    let words_only = dice.below(4) == 0;
    for _ in 0..=dice.below(4) {
        match words_only {
            true => scribble(&mut bytes, dice),
            false => damage(&mut bytes, template.item, dice),
        }
    }
    if dice.below(2) == 0 {
        sign(&mut bytes);
    }
    let file = store(&bytes);
    if template.alive {
        lock_rows(&file, &bytes);
    }
    let sound = word64(&bytes, TOTAL) == Some(bytes.len() as u64)
        && checksum(&bytes) == word32(&bytes, CHECKSUM);
    let looked = stat(NAME);
    // The header is sound then, and a writer that opens the stream makes a latest frame.
    let without_frame = matches!(&looked, Err(Error::Corrupt { field, .. }) if *field == LATEST);
    let status = said(looked);
    let usable = status.is_some() || without_frame;
    assert!(sound || !usable, "a header that does not fit");
    match usable {
        true => tally.accepted += 1,
        false => tally.refused += 1,
    }
    let header = bytes.len().min(4096);
    tally.forged += u64::from(usable && bytes[..header] != template.bytes[..header]);
    let names = list().unwrap();
    assert!(names.iter().all(|name| name.to_string() == NAME));
    let opened = [
        use_typed(said(Tensor::open(NAME)), dice),
        use_typed(said(Nested::open(NAME)), dice),
        use_dynamic(said(DynStream::open(NAME)), dice),
    ];
    assert!(usable || opened == [false; 3], "opened, not looked at");
    let observer = said(DynStream::observe(NAME));
    assert_eq!(observer.is_some(), usable);
    if let Some(observer) = observer {
        observe(&observer);
    }
    if let Some(status) = &status {
        describe(status);
    }
    if let Some(observer) = said(Tensor::observe(NAME)) {
        observe(&observer);
    }
    if dice.below(8) == 0 {
        let _ = said(unlink(NAME));
    }
}

/// Takes what there is, and has errors tell what they have to tell.
fn said<T>(result: shmstream::Result<T>) -> Option<T> {
    result
        .inspect_err(|error| {
            let text = error.to_string();
            assert!(text.contains(NAME), "{text}");
            assert!(!format!("{error:?}").is_empty());
        })
        .ok()
}

fn describe(status: &Status) {
    shown(status);
    let _ = (status.age(), status.is_stale(SHORT), status.producer(SHORT));
    let config = StreamConfig::of(status);
    assert!(config.difference(status).is_empty());
    let again = Schema::from_str(&status.schema.to_string()).unwrap();
    assert_eq!(again, status.schema, "a schema says what it is");
}

fn shown(what: &(impl Display + Debug)) {
    assert!(!what.to_string().is_empty() && !format!("{what:?}").is_empty());
}

fn use_typed<T: Pod, const N: usize>(stream: Option<Stream<T, N>>, dice: &mut Dice) -> bool {
    let Some(stream) = stream else {
        return false;
    };
    let mut buffer = Box::new([T::zeroed(); N]);
    let _ = (stream.lock_holder(), stream.count(), format!("{stream:?}"));
    if let Some(Some(frame)) = said(stream.read()) {
        let _ = format!("{:?} {:?}", frame.info(), frame.info().age());
        frame.copy_into(&mut buffer);
    }
    let _ = said(stream.read_into(&mut buffer));
    let _ = said(stream.write(&buffer));
    let _ = said(stream.read_owned());
    let _ = said(stream.try_lock())
        .flatten()
        .map(|guard| said(guard.clear()));
    if dice.below(8) == 0 {
        let _ = said(stream.wait_timeout(SHORT));
        let _ = said(stream.write_timeout(&buffer, SHORT));
    }
    true
}

fn use_dynamic(stream: Option<DynStream>, dice: &mut Dice) -> bool {
    let Some(stream) = stream else {
        return false;
    };
    let _ = (stream.link(), stream.lock_holder(), format!("{stream:?}"));
    if let Some(status) = said(stream.status()) {
        describe(&status);
    }
    if let Some(Some(frame)) = said(stream.read()) {
        look(&frame);
    }
    let start = match dice.below(5) {
        0 => Start::Latest,
        1 => Start::New,
        2 => Start::Count(interesting(dice, &[])),
        _ => Start::Oldest,
    };
    let plain = said(stream.subscribe(start));
    let lossless = said(stream.subscribe_lossless(start));
    let bytes = vec![0xa5; stream.frame_size()];
    for _ in 0..3 {
        let _ = said(stream.write_bytes(&bytes));
        for frames in plain.iter().chain(&lossless) {
            if let Some(Some(frame)) = said(frames.read()) {
                look(&frame);
            }
            let _ = (frames.gap(), frames.behind(), format!("{frames:?}"));
        }
    }
    if let Some(mut loan) = said(stream.loan()) {
        loan.bytes_mut().fill(0x5a);
        look_into(&loan.view(), 0);
        let _ = said(loan.publish());
    }
    if dice.below(8) == 0 {
        let frames = lossless.or(plain);
        let _ = frames.map(|frames| said(frames.wait_timeout(SHORT)).is_some());
        let _ = said(stream.lock_timeout(SHORT)).is_some();
        let _ = said(stream.wait_timeout(SHORT)).is_some();
        let _ = said(stream.to_typed::<[f32; 4], 3>());
    }
    if let Some(status) = said(stream.status()) {
        describe(&status);
    }
    true
}

fn observe<S: shmstream::AnyStream>(observer: &Observer<S>) {
    let _ = (observer.count(), observer.link());
    let _ = said(observer.info());
    let _ = said(observer.read());
    if let Some(status) = said(observer.status()) {
        describe(&status);
    }
}

fn look(frame: &DynFrame<'_>) {
    let info = frame.info();
    let _ = format!("{info:?} {:?} {:?}", info.age(), info.published_at());
    assert_eq!(frame.bytes().len(), frame.schema().size());
    look_into(&frame.view(), 0);
    assert_eq!(frame.to_owned().bytes(), frame.bytes());
}

/// Looks at every scalar of a view, or at the first and the last of very many.
fn look_into(view: &View<'_>, depth: u32) {
    const MANY: usize = 200;
    let shape = view.shape();
    let _ = (view.strides(), view.len(), view.is_contiguous());
    let Item::Struct(structure) = view.item() else {
        let scalars = view.scalars().unwrap();
        for scalar in scalars.take(MANY) {
            shown(&scalar);
        }
        let last: Vec<_> = shape.iter().map(|len| len - 1).collect();
        shown(&view.scalar(&last).unwrap());
        assert!(view.scalar(&shape).is_err() || shape.is_empty());
        let _ = (
            view.to_vec::<f32>().is_ok(),
            view.get::<[u16; 4]>(&[0]).is_ok(),
        );
        return;
    };
    for field in structure.fields() {
        look_into(&view.field(field.name()).unwrap(), depth + 1);
    }
    assert!(depth < 16 && view.field("no such field").is_err());
}

/// Names the file under which a child went down or hangs.
struct Watch(u64);

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!("reproduce with SHMSTREAM_SEED={seed} SHMSTREAM_MUTATIONS=1");
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(value) => value.parse().unwrap_or_else(|_| panic!("{name}={value}")),
        Err(_) => default,
    }
}

#[test]
fn no_file_under_a_streams_name_brings_a_program_down() {
    let directory = PrivateDir::new();
    let mutations = setting("SHMSTREAM_MUTATIONS", MUTATIONS);
    let seed = setting("SHMSTREAM_SEED", SEED);
    let mut command = Child::command("try_all", &[&seed, &mutations]);
    command.env("SHMSTREAM_DIR", directory.path());
    let child = Child::start(command);
    let mut watch = Watch(seed);
    let end = loop {
        let line = child.line_within(DEADLINE);
        let line = line.unwrap_or_else(|| panic!("hangs with seed {}", watch.0));
        match line.parse() {
            Ok(seed) => watch.0 = seed,
            Err(_) => break line,
        }
    };
    child.finish();
    let counts: Vec<u64> = end.split(' ').map(|count| count.parse().unwrap()).collect();
    let [refused, accepted, forged] = counts[..] else {
        panic!("{end}");
    };
    println!("{mutations} files: {refused} refused, {accepted} accepted, {forged} of them forged");
    assert_eq!(refused + accepted, mutations);
    assert!(
        mutations < 1000 || refused.min(accepted).min(forged) > 0,
        "all kinds are tried"
    );
}
