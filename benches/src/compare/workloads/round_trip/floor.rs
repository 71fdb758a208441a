//! Plain `memcpy` in and out.

use std::hint::black_box;

use memmap2::MmapMut;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Size, Trips};
use crate::Outcome;
use crate::contender::Contender;
use crate::shared::{Pages, anonymous, private};

pub(crate) const SHARED: Contender = Contender::floor("memcpy, two shared buffers");
pub(crate) const PRIVATE: Contender = Contender::floor("memcpy, one private buffer").shade(1);

pub(super) fn add<const N: usize>(size: &mut Size<'_>) -> Outcome<()>
where
    [f32; N]: FromBytes + IntoBytes + Immutable + KnownLayout,
{
    let len = N * size_of::<f32>();
    let mut one = private(len, Pages::for_len(len))?;
    let one = move |trips: Trips<'_, N>| {
        trips.each(|source, sink| {
            through(&mut one, source, sink);
            Ok(())
        })
    };
    size.add(PRIVATE, Ok(one));
    // As the slots of a stream that nobody pins.
    let mut two = [anonymous(len)?, anonymous(len)?];
    let two = move |trips: Trips<'_, N>| {
        trips.each(|source, sink| {
            two.swap(0, 1);
            through(&mut two[0], source, sink);
            Ok(())
        })
    };
    size.add(SHARED, Ok(two));
    Ok(())
}

fn through<const N: usize>(buffer: &mut MmapMut, source: &[f32; N], sink: &mut [f32; N])
where
    [f32; N]: FromBytes + IntoBytes + Immutable + KnownLayout,
{
    buffer.copy_from_slice(black_box(source).as_bytes());
    // Opaque, or the compiler copies from the source a second time.
    sink.as_mut_bytes().copy_from_slice(black_box(buffer));
    black_box(sink);
}
