//! The processor's counter of time.
#![allow(unsafe_code)]
// This file guarantees that what it does touches no memory: the two instructions read a counter, and wait.

/// What the kernel calls a clock that it makes of [`now`].
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(super) const NAME: &str = "tsc";
/// No kernel calls a clock so.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
pub(super) const NAME: &str = "";

/// Returns what the counter shows, or zero where none is known.
///
/// The processor may read it early, before instructions that come first.
#[inline]
pub(super) fn now() -> u64 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the instruction is part of the architecture, and writes two registers. A process for which
    // it was forbidden (`PR_SET_TSC`) could not read the kernel's clock either.
    return unsafe { std::arch::x86_64::_rdtsc() };
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    0
}

/// The same, behind all that comes first.
pub(super) fn now_behind() -> u64 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the instruction is part of the architecture, and touches nothing.
    unsafe {
        std::arch::x86_64::_mm_lfence();
    }
    now()
}
