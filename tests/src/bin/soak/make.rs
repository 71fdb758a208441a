//! Those who create a stream and unlink it, again and again, several at a time.

use shmstream::{Error, Result, Stream};

use crate::board::{Call, Count};
use crate::life::{Life, is_replaced};
use crate::plan::SMALL;
use crate::write;

type Frames = Stream<u64, SMALL>;

/// Creates, publishes and unlinks until it has to end.
pub(crate) fn make(life: &Life) -> Result<()> {
    let mut begun = false;
    while !life.must_end() {
        let Some(stream) = appear(life)? else {
            continue;
        };
        if !std::mem::replace(&mut begun, true) {
            life.begin(stream.instance());
        }
        for _ in 0..life.below(60) {
            match write::publish(life, &stream) {
                Ok(()) => {}
                // Another maker has unlinked this one and created the next.
                Err(Error::Replaced { .. }) => break,
                Err(error) => return Err(error),
            }
            if life.below(4) == 0 {
                life.rest();
            }
        }
        vanish(life, &stream)?;
    }
    Ok(())
}

/// Opens or creates the stream.
fn appear(life: &Life) -> Result<Option<Frames>> {
    let builder = life.which.plan(Frames::builder(life.which.name()));
    let created = life.call(Call::Open, || match life.below(2) {
        0 => builder.create(),
        _ => builder.open_or_create(),
    });
    match created {
        Ok(stream) => {
            life.words
                .add(Count::Created, u64::from(stream.count() == 0));
            Ok(Some(stream))
        }
        // Another maker was faster.
        Err(Error::AlreadyExists { .. }) => {
            life.rest();
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Unlinks the stream, or leaves that to others.
fn vanish(life: &Life, stream: &Frames) -> Result<()> {
    let unlinked = life.call(Call::Unlink, || match life.below(4) {
        0 => Ok(()),
        // Whatever has the name now.
        1 => shmstream::unlink(life.which.name()),
        _ => stream.unlink(),
    });
    match unlinked {
        Err(error) if is_replaced(&error) => Ok(()),
        unlinked => unlinked,
    }
}
