//! Files that are damaged or forged, as the tests of the program's commands need them, in the library's
//! terms and in those of `docs/protocol.md` alone.

use std::fs;

use shmstream::{Bool, Pod, ShmPayload, Start, Stream, bf16};

/// Where the fields of a header are, by `docs/protocol.md`.
const CHECKSUM: usize = 16;
const CONTROL: usize = 40;
const SCHEMA_LEN: usize = 104;
const HEADER: usize = 256;
/// The words of the control block of a stream with a few slots and rows.
const WORDS: u64 = 512 + 5 * 128;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Part {
    gain: [f32; 3],
    half: [bf16; 2],
    on: [Bool; 8],
}

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Whole {
    time: u64,
    parts: [[Part; 2]; 2],
}

/// Valid files to begin with, of streams that had readers and frames.
pub(crate) fn templates() -> [Vec<u8>; 4] {
    [
        bytes::<Whole, 3>(4),
        bytes::<Whole, 1>(0),
        bytes::<[[u16; 5]; 4], 3>(1),
        bytes::<f64, 600>(7),
    ]
}

fn bytes<T: Pod, const N: usize>(frames: u64) -> Vec<u8> {
    let builder = Stream::<T, N>::builder("template").participants(3);
    let stream = builder.history(2).temporary().create().unwrap();
    let reader = stream.subscribe_lossless(Start::New).unwrap();
    for _ in 0..frames {
        stream.clear().unwrap();
        assert!(reader.read().unwrap().is_some());
    }
    fs::read(stream.path()).unwrap()
}

/// Numbers for variety (xorshift).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }

    /// Draws a number from `begin` on, of `len`.
    pub(crate) fn place(&mut self, begin: usize, len: u64) -> usize {
        begin + usize::try_from(self.below(len)).unwrap()
    }

    fn value(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => self.below(300),
            3 => 1 << self.below(64),
            4 => (1 << self.below(64)) - 1,
            _ => self.below(u64::MAX),
        }
    }
}

fn number(bytes: &[u8], at: usize, len: usize) -> usize {
    let mut number = [0; 8];
    let found = bytes.get(at..at + len).unwrap_or(&[]);
    number[..found.len()].copy_from_slice(found);
    usize::from_ne_bytes(number)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// Gives a header the checksum of what it holds, as a program would that means harm.
fn sign(bytes: &mut [u8]) {
    let len = HEADER.saturating_add(number(bytes, SCHEMA_LEN, 4));
    if len <= bytes.len() {
        put(bytes, CHECKSUM, &[0; 4]);
        let sum = crc32fast::hash(&bytes[..len]);
        put(bytes, CHECKSUM, &sum.to_ne_bytes());
    }
}

/// Damages a file, or forges it: the checksum fits again in most cases.
pub(crate) fn mutate(template: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = template.to_vec();
    let schema = number(template, SCHEMA_LEN, 4) as u64;
    let control = number(template, CONTROL, 8);
    for _ in 0..=dice.below(3) {
        let value = dice.value().to_ne_bytes();
        match dice.below(9) {
            0 => put(&mut bytes, dice.place(0, HEADER as u64), &value[..1]),
            1 => put(&mut bytes, 16 + 4 * dice.place(0, 24), &value[..4]),
            2 => put(&mut bytes, dice.place(HEADER, schema), &value[..1]),
            3 => put(&mut bytes, dice.place(HEADER, schema), &value),
            4 | 5 => put(
                &mut bytes,
                control + 4 * dice.place(0, WORDS / 4),
                &value[..4],
            ),
            // What is the latest, the states, who is attached.
            6 => {
                let word = [0, 128, 144, 256, 272, 384, 512, 640, 512 + 5 * 128];
                let word = word[dice.place(0, word.len() as u64)];
                put(&mut bytes, control + word, &value);
            }
            7 => bytes.truncate(dice.place(0, template.len() as u64)),
            _ => bytes.resize(dice.place(bytes.len(), 5000), 0),
        }
    }
    if dice.below(8) > 0 {
        sign(&mut bytes);
    }
    bytes
}

/// Returns a number from the environment.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(value) => value
            .parse()
            .unwrap_or_else(|_| panic!("{name}={value} is no number")),
        Err(_) => default,
    }
}
