//! The hot path allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use shmstream::{DynStream, Start, Stream};
use shmstream_tests::Name;

/// Counts the allocations of each thread.
struct Counting;

thread_local!(static ALLOCATIONS: Cell<u64> = const { Cell::new(0) });

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    // A thread that ends allocates without being counted.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every method hands its arguments to `System`, which keeps the promises of the trait, and
// counting in a constant-initialised thread local neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller promises what `System` asks for, which is what this trait asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count();
        // SAFETY: as in `alloc`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as in `alloc`.
        unsafe { System.realloc(block, layout, size) }
    }
}

fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn the_counter_counts() {
    assert!(allocations_of(|| drop(std::hint::black_box(Box::new(1)))) >= 2);
}

#[test]
fn publishing_and_reading_allocate_nothing() {
    type Frames = Stream<u64, 64>;
    let name = Name::new("allocation");
    let writer = Frames::create(&name).unwrap();
    let reader = Frames::open(&name).unwrap();
    let mut buffer = [0; 64];
    // The first of each may set things up.
    writer.write(&[0; 64]).unwrap();
    let guard = writer.lock().unwrap();
    let allocations = allocations_of(|| {
        for i in 0..10_000 {
            guard.write_with_id(i, &[i; 64]).unwrap();
            assert_eq!(reader.read().unwrap().unwrap()[1], i);
            let mut loan = guard.loan().unwrap();
            loan[1] = i + 1;
            loan.publish().unwrap();
            assert_eq!(reader.wait().unwrap()[1], i + 1);
            guard.clear().unwrap();
            reader.read_into(&mut buffer).unwrap().unwrap();
            assert!(reader.read_new().unwrap().is_none());
        }
    });
    drop(guard);
    assert_eq!(allocations, 0);
    // With a lock for each write neither.
    let allocations = allocations_of(|| {
        for i in 0..1000 {
            writer.write(&[i; 64]).unwrap();
        }
    });
    assert_eq!(allocations, 0);
}

#[test]
fn reading_in_order_observing_and_bytes_allocate_nothing() {
    type Frames = Stream<u64, 64>;
    let name = Name::new("allocation-order");
    let writer = Frames::builder(&name).history(4).create().unwrap();
    let frames = writer.subscribe(Start::New).unwrap();
    let lossless = writer.subscribe_lossless(Start::New).unwrap();
    let observer = Frames::observe(&name).unwrap();
    let dynamic = DynStream::open(&name).unwrap();
    let mut buffer = [0; 64];
    let guard = writer.lock().unwrap();
    let allocations = allocations_of(|| {
        for i in 0..10_000_u64 {
            guard.write(&[i; 64]).unwrap();
            assert_eq!(frames.read().unwrap().unwrap()[1], i);
            assert_eq!(lossless.wait().unwrap()[1], i);
            observer.read_into(&mut buffer).unwrap().unwrap();
            assert_eq!(buffer[1], i);
            let frame = dynamic.read().unwrap().unwrap();
            assert_eq!(frame.bytes()[..8], i.to_ne_bytes());
        }
    });
    assert_eq!(allocations, 0);
}

#[test]
fn payloads_known_at_run_time_allocate_nothing_either() {
    let name = Name::new("allocation-dynamic");
    let writer = Stream::<[u64; 8], 8>::create(&name).unwrap().into_dyn();
    let reader = DynStream::open(&name).unwrap();
    let guard = writer.lock().unwrap();
    let mut buffer = [0; 64];
    // The first of each may compare types.
    guard.write(&[0_u64; 64]).unwrap();
    reader.read_into(&mut buffer).unwrap().unwrap();
    let allocations = allocations_of(|| {
        for i in 0..1000 {
            guard.write(&[i; 64]).unwrap();
            let frame = reader.read().unwrap().unwrap();
            assert_eq!(frame.as_slice::<u64>().unwrap()[1], i);
            assert_eq!(frame.bytes().len(), 512);
            let mut loan = guard.loan().unwrap();
            loan.as_mut_slice::<u64>().unwrap().fill(i + 1);
            loan.publish().unwrap();
            reader.read_into(&mut buffer).unwrap().unwrap();
            assert_eq!(buffer, [i + 1; 64]);
        }
    });
    assert_eq!(allocations, 0);
    // Nor do values that are looked up in a view.
    let frame = reader.read().unwrap().unwrap();
    let view = frame.view();
    let allocations = allocations_of(|| {
        assert_eq!(view.get::<u64>(&[1, 2]).unwrap(), 1000);
        assert_eq!(view.scalar(&[1, 2]).unwrap().to_f64(), Some(1000.0));
    });
    assert_eq!(allocations, 0);
}
