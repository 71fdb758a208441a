//! Large frames copied in and out, through a stream and through bare memory.

use std::hint::black_box;

use memmap2::MmapMut;
use shmstream::Stream;

use super::floor::shared_memory;
use super::{MIB, temporary};

/// The size of a frame, in bytes.
pub(crate) const LEN: usize = 4 * MIB;

/// The buffers that frames are copied from and to: private memory on whole pages.
///
/// Stream and bare memory use the same two, since how buffers lie to each other changes the time.
pub(crate) struct Ends {
    source: MmapMut,
    sink: MmapMut,
}

impl Ends {
    pub(crate) fn new() -> Self {
        let mut ends = Self {
            source: MmapMut::map_anon(LEN).expect("memory"),
            sink: MmapMut::map_anon(LEN).expect("memory"),
        };
        // Page faults are not what is measured.
        ends.source.fill(1);
        ends.sink.fill(2);
        ends
    }

    #[inline]
    pub(crate) fn through_stream(&mut self, stream: &Stream<u8, LEN>) {
        let source = self.source.first_chunk().expect("the length of a frame");
        let sink = self.sink.first_chunk_mut().expect("the length of a frame");
        stream.write(black_box(source)).expect("a free slot");
        let info = stream.read_into(black_box(sink)).expect("an intact stream");
        black_box(info);
    }

    #[inline]
    pub(crate) fn through_memory(&mut self, memory: &mut Memory) {
        memory.buffers.swap(0, 1);
        let buffer = &mut memory.buffers[0];
        buffer.copy_from_slice(black_box(&self.source));
        // Opaque, or the compiler copies from the source a second time.
        self.sink.copy_from_slice(black_box(buffer));
    }
}

/// Two buffers used by turns, like the slots of a stream that nobody pins.
pub(crate) struct Memory {
    buffers: [MmapMut; 2],
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self {
            buffers: [shared_memory(LEN), shared_memory(LEN)],
        }
    }
}

/// A stream whose frames have [`LEN`] bytes.
pub(crate) fn stream() -> Stream<u8, LEN> {
    temporary(4)
}
