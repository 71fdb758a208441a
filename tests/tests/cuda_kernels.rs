//! A caller's own kernels, in the slots of a stream: over the stand-in driver, or a real one with
//! `SHMSTREAM_TEST_GPU=1`.
//!
//! One process has a kernel fill each slot in place, behind one that takes its time; another has a kernel look
//! at each frame where it lies. Nothing is copied, so a frame that is handed over too early is wrong.

#[path = "cuda/support.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod support;

use std::ffi::{CString, c_void};
use std::sync::Arc;

use shmstream::cuda::cudarc::driver::{
    CudaContext, CudaView, CudaViewMut, DevicePtr, DevicePtrMut, DriverError, result, sys,
};
use shmstream::cuda::{CudaStream, Queue};
use shmstream_tests::driver::{Driver, KERNELS};
use shmstream_tests::{Child, DEADLINE, Name, argument, hear, play, tell};
use support::{LEN, child, context, value};

const FRAMES: u64 = 50;

#[test]
fn child_entry() {
    play(&[("produce", produce), ("consume", consume)]);
}

/// The kernels of `kernels.ptx`.
struct Kernels {
    /// Not unloaded: the context goes with its process.
    xor: sys::CUfunction,
    check: sys::CUfunction,
    pause: sys::CUfunction,
}

impl Kernels {
    fn load(context: &Arc<CudaContext>) -> Self {
        context.bind_to_thread().unwrap();
        let text = CString::new(KERNELS).unwrap();
        // SAFETY: `load_data` asks for a module: text of kernels, which ends with a zero.
        let module = unsafe { result::module::load_data(text.as_ptr().cast()) }.unwrap();
        let function = |name| {
            let name = CString::new(name).unwrap();
            // SAFETY: `get_function` asks for a module that is loaded: it stays so.
            unsafe { result::module::get_function(module, name) }.unwrap()
        };
        Self {
            xor: function("xor_words"),
            check: function("check_words"),
            pause: function("pause_ns"),
        }
    }

    /// Fills the slot with a value, after a while.
    fn fill(
        &self,
        slot: &mut CudaViewMut<'_, i64>,
        queue: &Arc<Queue>,
        value: i64,
    ) -> Result<(), DriverError> {
        launch(self.pause, queue, &mut [300_000])?;
        queue.memset_zeros(slot)?;
        let words = slot.len() as u64;
        let (address, _working) = slot.device_ptr_mut(queue);
        launch(
            self.xor,
            queue,
            &mut [address, words, value.cast_unsigned()],
        )
    }

    /// Returns how many elements of a frame are not the value, after a while.
    fn wrong(&self, frame: &CudaView<'_, i64>, queue: &Arc<Queue>, value: i64) -> u64 {
        let mut count = queue.alloc_zeros::<u64>(1).unwrap();
        launch(self.pause, queue, &mut [300_000]).unwrap();
        let words = frame.len() as u64;
        {
            let (address, _reading) = frame.device_ptr(queue);
            let (counter, _working) = count.device_ptr_mut(queue);
            let arguments = &mut [address, words, value.cast_unsigned(), counter];
            launch(self.check, queue, arguments).unwrap();
        }
        queue.clone_dtoh(&count).unwrap()[0]
    }
}

/// Puts one thread of a kernel into a queue; all its arguments have 64 bits.
fn launch(
    kernel: sys::CUfunction,
    queue: &Arc<Queue>,
    arguments: &mut [u64],
) -> Result<(), DriverError> {
    queue.context().bind_to_thread()?;
    let mut pointers: Vec<*mut c_void> = arguments
        .iter_mut()
        .map(|argument| std::ptr::from_mut(argument).cast())
        .collect();
    // SAFETY: `launch_kernel` asks for arguments of the number and the types that the kernel takes, which
    // `kernels.ptx` says, and for device memory that is there while it runs: the caller's slot, frame or
    // buffer, each freed or given back behind the work in this queue.
    unsafe {
        result::launch_kernel(
            kernel,
            (1, 1, 1),
            (1, 1, 1),
            0,
            queue.cu_stream(),
            &mut pointers,
        )
    }
}

fn produce(arguments: &[String]) {
    let (name, handover): (String, String) = (argument(arguments, 0), argument(arguments, 1));
    let context = context();
    let kernels = Kernels::load(&context);
    let queue = context.new_stream().unwrap();
    let builder = CudaStream::<i64>::builder(&name).history(3).slots(8);
    let builder = match handover.as_str() {
        "events" => builder.events(),
        _ => builder,
    };
    let stream = builder.create(&[LEN], &context).unwrap();
    tell("created");
    assert_eq!(hear(), "go");
    for number in 1..=FRAMES {
        let count = stream
            .publish_timeout(DEADLINE, &queue, |slot, queue| {
                kernels.fill(slot, queue, value(number))
            })
            .unwrap();
        assert_eq!(count, number);
    }
    assert_eq!(hear(), "end");
}

fn consume(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let kernels = Kernels::load(&context);
    let queue = context.new_stream().unwrap();
    let stream = CudaStream::<i64>::open(&name, &context).unwrap();
    let frames = stream.subscribe_lossless(shmstream::Start::New).unwrap();
    tell("subscribed");
    for number in 1..=FRAMES {
        let frame = frames
            .wait_timeout(&queue, DEADLINE)
            .unwrap()
            .expect("a frame");
        assert_eq!(frame.info().count, number);
        let wrong = kernels.wrong(&frame.view(), &queue, value(number));
        assert_eq!(wrong, 0, "of frame {number}");
    }
}

fn kernels_hand_over(handover: &str) {
    let driver = Driver::new();
    let name = Name::new("cuda-kernels");
    let mut producer: Child = child(&driver, "produce", &[&name, &handover]);
    producer.expect("created");
    let consumer = child(&driver, "consume", &[&name]);
    consumer.expect("subscribed");
    producer.say("go");
    consumer.finish();
    producer.say("end");
    producer.finish();
}

#[test]
fn kernels_work_in_the_slots_themselves() {
    kernels_hand_over("callback");
}

#[test]
fn kernels_work_in_the_slots_themselves_by_events() {
    kernels_hand_over("events");
}
