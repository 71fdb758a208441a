//! Asking the processor for a cache line before it is needed.
#![allow(unsafe_code)]
// This file guarantees that what it does changes nothing but the cache: the instructions access no
// memory in the sense of the language, and do not fault, whatever the address.
//
// Between two cores, a line takes longer on its way than all instructions of a publish or a read
// together, and the ordering of the protocol makes the lines of one frame come one after the other.
// Asked for beforehand, they come at once.

/// Asks for a line that will be read.
#[inline(always)]
pub(crate) fn to_read<T>(place: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the instruction has no preconditions; the options promise what is true of it: it uses
    // no stack and changes no flags.
    unsafe {
        std::arch::asm!("prefetcht0 [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = place;
}

/// Asks for a line that will be written: takes it from the other cores as well.
#[inline(always)]
pub(crate) fn to_write<T>(place: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: as in `to_read`. Processors that lack the instruction do nothing.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pstl1keep, [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = place;
}
