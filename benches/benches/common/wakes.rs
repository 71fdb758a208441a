//! How long a sleeping thread takes to notice: through a stream, and on a bare futex.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::thread::futex;
use shmstream::Stream;

use super::floor::SharedWord;
use super::temporary;

/// Long enough for the other thread to be asleep again.
const PAUSE: Duration = Duration::from_micros(150);

/// Nanoseconds since `epoch`, as a payload.
fn since(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_nanos()).expect("less than 584 years")
}

/// A thread that says how long after being sent each message arrived, until it gets none.
struct Sleeper {
    latencies: Receiver<u64>,
    thread: Option<JoinHandle<()>>,
}

impl Sleeper {
    /// `next` sleeps until a message comes, and returns when it was sent.
    fn new(epoch: Instant, mut next: impl FnMut() -> Option<u64> + Send + 'static) -> Self {
        let (sender, latencies): (Sender<u64>, _) = channel();
        let report = move || {
            while let Some(sent) = next() {
                let latency = since(epoch).saturating_sub(sent);
                sender
                    .send(latency)
                    .expect("the benchmark waits for the thread");
            }
        };
        Self {
            latencies,
            thread: Some(std::thread::spawn(report)),
        }
    }

    fn latency(&self, send: impl FnOnce()) -> Duration {
        std::thread::sleep(PAUSE);
        send();
        Duration::from_nanos(self.latencies.recv().expect("the thread lives"))
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a thread that ends well");
        }
    }
}

/// A reader that waits for frames.
pub(crate) struct StreamWakes {
    epoch: Instant,
    stream: Stream<u64, 1>,
    sleeper: Sleeper,
}

/// The frame that ends the reader.
const END: u64 = u64::MAX;

impl StreamWakes {
    pub(crate) fn new() -> Self {
        let epoch = Instant::now();
        let stream = temporary(4);
        let reader: Stream<u64, 1> = stream.try_clone().expect("a free row");
        let next = move || {
            let sent = reader.wait().expect("a frame")[0];
            (sent != END).then_some(sent)
        };
        Self {
            epoch,
            stream,
            sleeper: Sleeper::new(epoch, next),
        }
    }

    /// Publishes a frame, with the lock held, and returns how long until the reader had it.
    pub(crate) fn latency(&self) -> Duration {
        let writer = self.stream.lock().expect("the lock");
        self.sleeper.latency(|| {
            writer.write(&[since(self.epoch)]).expect("a free slot");
        })
    }
}

impl Drop for StreamWakes {
    fn drop(&mut self) {
        self.stream.write(&[END]).expect("a free slot");
        self.sleeper.join();
    }
}

/// A thread that sleeps on a futex in shared memory: one store and one wake call for each message.
pub(crate) struct FutexWakes {
    epoch: Instant,
    message: Arc<Message>,
    sleeper: Sleeper,
}

struct Message {
    number: SharedWord,
    /// Written before `number`.
    sent: AtomicU64,
    end: AtomicBool,
}

impl Message {
    fn send(&self, sent: u64) {
        self.sent.store(sent, Ordering::Relaxed);
        let word = self.number.word();
        word.fetch_add(1, Ordering::SeqCst);
        let _ = futex::wake(word, futex::Flags::empty(), 1);
    }
}

impl FutexWakes {
    pub(crate) fn new() -> Self {
        let epoch = Instant::now();
        let message = Arc::new(Message {
            number: SharedWord::new(),
            sent: AtomicU64::new(0),
            end: AtomicBool::new(false),
        });
        let received = Arc::clone(&message);
        let mut seen = 0;
        let next = move || {
            let word = received.number.word();
            while word.load(Ordering::SeqCst) == seen {
                // Fails only when there is nothing to wait for any more.
                let _ = futex::wait(word, futex::Flags::empty(), seen, None);
            }
            seen = word.load(Ordering::SeqCst);
            let sent = received.sent.load(Ordering::Relaxed);
            (!received.end.load(Ordering::Relaxed)).then_some(sent)
        };
        Self {
            epoch,
            message,
            sleeper: Sleeper::new(epoch, next),
        }
    }

    /// Sends a message, and returns how long until the sleeper had it.
    pub(crate) fn latency(&self) -> Duration {
        self.sleeper
            .latency(|| self.message.send(since(self.epoch)))
    }
}

impl Drop for FutexWakes {
    fn drop(&mut self) {
        self.message.end.store(true, Ordering::Relaxed);
        self.message.send(0);
        self.sleeper.join();
    }
}
