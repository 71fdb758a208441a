//! This library.

use std::hint::black_box;
use std::rc::Rc;

use shmstream::Stream;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::super::names::unique;
use super::{Size, Trips};
use crate::Outcome;
use crate::contender::Contender;
use crate::shared::Pages;

pub(crate) const COPY: Contender = Contender::shmstream("shmstream, copy");
pub(crate) const COPY_UNLOCKED: Contender =
    Contender::shmstream("shmstream, copy, lock per write").shade(1);
pub(crate) const COPY_HUGE: Contender =
    Contender::shmstream("shmstream, copy, huge pages").shade(2);
pub(crate) const IN_PLACE: Contender = Contender::shmstream("shmstream, in place");

pub(super) fn add<const N: usize>(size: &mut Size<'_>)
where
    [f32; N]: FromBytes + IntoBytes + Immutable + KnownLayout,
{
    match stream::<N>(Pages::Small).map(Rc::new) {
        Ok(stream) => {
            let (locked, unlocked) = (Rc::clone(&stream), Rc::clone(&stream));
            size.add(
                COPY,
                Ok(move |trips: Trips<'_, N>| copies_locked(&locked, trips)),
            );
            size.add(
                COPY_UNLOCKED,
                Ok(move |trips: Trips<'_, N>| copies(&unlocked, trips)),
            );
            size.add(
                IN_PLACE,
                Ok(move |trips: Trips<'_, N>| in_place(&stream, trips)),
            );
        }
        Err(error) => size.leave_out(COPY, error),
    }
    let huge = stream::<N>(Pages::Huge);
    let huge = huge.map(|stream| move |trips: Trips<'_, N>| copies_locked(&stream, trips));
    size.add(COPY_HUGE, huge);
}

/// Two slots are enough for one that writes and reads, and frames are large.
pub(crate) fn stream<const N: usize>(pages: Pages) -> Outcome<Stream<f32, N>> {
    let builder = Stream::builder(unique()).slots(2).prefault().temporary();
    Ok(match pages {
        Pages::Small => builder.create()?,
        Pages::Huge => builder.huge_pages().create()?,
    })
}

fn copies<const N: usize>(stream: &Stream<f32, N>, trips: Trips<'_, N>) -> Outcome<()> {
    trips.each(|source, sink| {
        stream.write(black_box(source))?;
        black_box(stream.read_into(sink)?);
        Ok(())
    })
}

fn copies_locked<const N: usize>(stream: &Stream<f32, N>, trips: Trips<'_, N>) -> Outcome<()> {
    let writer = stream.lock()?;
    trips.each(|source, sink| {
        writer.write(black_box(source))?;
        black_box(writer.read_into(sink)?);
        Ok(())
    })
}

/// Fills a frame in place and reads it in place, touching its two ends.
fn in_place<const N: usize>(stream: &Stream<f32, N>, trips: Trips<'_, N>) -> Outcome<()> {
    let writer = stream.lock()?;
    trips.each(|source, sink| {
        let mut loan = writer.loan()?;
        (loan[0], loan[N - 1]) = (source[0], source[N - 1]);
        loan.publish()?;
        let frame = writer.read()?.ok_or("no frame")?;
        (sink[0], sink[N - 1]) = black_box((frame[0], frame[N - 1]));
        Ok(())
    })
}
