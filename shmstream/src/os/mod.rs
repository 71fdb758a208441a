//! The operating system: files, mappings, locks, futexes, clocks.
//!
//! Everything goes through `rustix` and `memmap2`, whose functions are safe to call; what they lack
//! is in `sys`, the only file here with `unsafe` but for `map`.

pub(crate) mod clock;
pub(crate) mod event;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod lock;
pub(crate) mod map;
#[cfg(feature = "cuda")]
pub(crate) mod pass;
pub(crate) mod shm;
pub(crate) mod space;
mod sys;

#[cfg(feature = "cuda")]
pub(crate) use sys::without_signals;

/// Draws a number that nobody can foresee.
#[cfg(feature = "cuda")]
pub(crate) fn draw() -> std::io::Result<std::num::NonZeroU64> {
    loop {
        let mut drawn = [0; 8];
        rustix::rand::getrandom(&mut drawn, rustix::rand::GetRandomFlags::empty())?;
        if let Some(number) = std::num::NonZeroU64::new(u64::from_ne_bytes(drawn)) {
            return Ok(number);
        }
    }
}
