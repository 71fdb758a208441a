//! The slots on the device: one block, which a process has open once.
//!
//! A process opens the block of another once and closes it once, whatever its handles, and uses its own
//! as it is: the driver refuses handles in the process that made them. So a table knows what is open.
//! `sharing` has how a block that is shared by descriptors gets from one process to another.

mod block;

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

pub(super) use block::Block;

use super::device::{Event, Gpu, Mapped};
use super::driver::Address;
use super::sharing::{self, Holding, Offer, Ready};
use crate::error::{Error, Result};
use crate::gpu::{Holders, Problem};
use crate::layout::{Device, Sharing};
use crate::name::StreamName;
use crate::os::fork::{self, Unshared};
use crate::os::lock;
use crate::os::shm::FileId;
use crate::stream::handle::{EXPORTER, Handle};

/// How long not to look for somebody who hands the memory on, when none listens although some have it: they
/// may be about to listen, to leave, or to find out that there is none.
const PAUSE: Duration = Duration::from_millis(20);

/// What tells blocks apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    generation: u32,
    /// By the file, since any other can have the same number in its header.
    file: FileId,
    instance: [u8; 16],
    context: usize,
}

static OPEN: Mutex<Option<HashMap<Key, Weak<Memory>>>> = Mutex::new(None);

fn open() -> MutexGuard<'static, Option<HashMap<Key, Weak<Memory>>>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A block of device memory.
#[derive(Debug)]
pub(super) struct Memory {
    gpu: Gpu,
    base: Address,
    size: usize,
    /// Zero until it is a stream's.
    stride: usize,
    /// One for each slot if frames are handed over by events, else none.
    events: Vec<Event>,
    /// The process, told from those that it forks.
    generation: u32,
    source: Source,
}

/// How the block came into this process.
#[derive(Debug)]
enum Source {
    /// Allocated here; others open it by a handle, once it is a stream's.
    Allocated(Option<Exported>),
    /// Opened by its handle.
    Opened,
    /// Mapped by a descriptor, as by all others who have it.
    Mapped(Mapped, Arc<Unshared>),
}

/// What the process has that allocated the block.
#[derive(Debug)]
struct Exported {
    /// Holds the lock that says so.
    file: Arc<Unshared>,
    participants: usize,
}

impl Memory {
    /// Makes memory of a block that no stream has.
    fn new(gpu: &Gpu, base: Address, size: usize, source: Source) -> Self {
        Self {
            gpu: gpu.clone(),
            base,
            size,
            stride: 0,
            events: Vec::new(),
            generation: fork::generation(),
            source,
        }
    }

    /// Makes memory of a mapping and the descriptor that it came by.
    fn mapped(name: &StreamName, gpu: &Gpu, mapped: Mapped, descriptor: OwnedFd) -> Result<Self> {
        match Unshared::new(descriptor) {
            Ok(kept) => {
                let source = Source::Mapped(mapped, Arc::new(kept));
                Ok(Self::new(gpu, mapped.address, mapped.len(), source))
            }
            Err(error) => {
                gpu.unmap_shared(mapped);
                Err(Error::os(name, "prepare for forks", error))
            }
        }
    }

    /// Returns the memory of a stream whose handle is this, with what the handle has besides to hand it on.
    pub(super) fn of(
        name: &StreamName,
        gpu: &Gpu,
        handle: &mut Handle,
        device: &Device,
    ) -> Result<(Arc<Self>, Option<Holding>)> {
        match device.sharing {
            Sharing::Handle => Ok((Self::by_handle(name, gpu, handle, device)?, None)),
            Sharing::Descriptor => {
                let (memory, holding) = Self::by_descriptor(name, gpu, handle, device)?;
                Ok((memory, Some(holding)))
            }
        }
    }

    /// Returns what another handle of this process has open in this context, or opens it. The handle has a
    /// row, so that the exporter does not free it meanwhile.
    fn by_handle(
        name: &StreamName,
        gpu: &Gpu,
        handle: &Handle,
        device: &Device,
    ) -> Result<Arc<Self>> {
        let key = key_of(gpu, handle)?;
        let mut open = open();
        let open = open.get_or_insert_default();
        if let Some(known) = open.get(&key).and_then(Weak::upgrade) {
            return known.checked(name, device);
        }
        open.retain(|_, memory| memory.strong_count() > 0);
        check_exporter(name, handle.file())?;
        let memory = match Self::import(gpu, device) {
            Ok(memory) => Arc::new(memory),
            Err(problem) => {
                // It may have died since.
                check_exporter(name, handle.file())?;
                return Err(Error::gpu(name, problem));
            }
        };
        open.insert(key, Arc::downgrade(&memory));
        Ok(memory)
    }

    /// Returns what another handle of this process has mapped in this context, or asks those who have the
    /// memory for it.
    fn by_descriptor(
        name: &StreamName,
        gpu: &Gpu,
        handle: &mut Handle,
        device: &Device,
    ) -> Result<(Arc<Self>, Holding)> {
        let ready = Ready::new().map_err(|refusal| refusal.on(name))?;
        let deadline = Instant::now() + sharing::PATIENCE;
        loop {
            check_exporter(name, handle.file())?;
            let lock = sharing::hold(handle)?;
            let why = match Self::reach(name, gpu, handle, device) {
                Ok(memory) => {
                    let offer = memory.offer(handle, ready)?;
                    return Ok((memory, Holding { offer, lock }));
                }
                Err(error) => error,
            };
            // Before looking again, so that two who find nobody do not take each other for somebody.
            drop(lock);
            // The last may have left while it was asked.
            check_exporter(name, handle.file())?;
            match why {
                // Those who took a question and do not answer have been given their time.
                Error::Gpu {
                    problem: Problem::Unreachable(holders),
                    ..
                } if holders != Holders::Silent && Instant::now() < deadline => {
                    std::thread::sleep(PAUSE);
                }
                why => return Err(why),
            }
        }
    }

    /// Gets the memory for a handle that has the lock on it.
    fn reach(name: &StreamName, gpu: &Gpu, handle: &Handle, device: &Device) -> Result<Arc<Self>> {
        if let Some(memory) = known(key_of(gpu, handle)?) {
            return memory.checked(name, device);
        }
        match sharing::ask(handle)? {
            Ok(descriptor) => Self::map(name, gpu, handle, device, descriptor),
            Err(holders) => Err(Error::gpu(name, Problem::Unreachable(holders))),
        }
    }

    /// Returns this if it is what a header says. The header of an open stream does not change, but for
    /// those who write to the file as they like.
    fn checked(self: Arc<Self>, name: &StreamName, device: &Device) -> Result<Arc<Self>> {
        let there = (self.size, self.stride, self.events.len(), self.sharing());
        let said = (
            device.size,
            device.stride,
            device.events.len(),
            device.sharing,
        );
        match there == said {
            true => Ok(self),
            false => {
                let value = "other device memory than when this process opened it first";
                Err(Error::corrupt(name, "the header", value))
            }
        }
    }

    fn map(
        name: &StreamName,
        gpu: &Gpu,
        handle: &Handle,
        device: &Device,
        descriptor: OwnedFd,
    ) -> Result<Arc<Self>> {
        let key = key_of(gpu, handle)?;
        let mapped = gpu.map_shared(descriptor.as_fd(), device.size);
        let mapped = mapped.map_err(|problem| Error::gpu(name, problem))?;
        let mut memory = Self::mapped(name, gpu, mapped, descriptor)?;
        memory.stride = device.stride;
        let memory = Arc::new(memory);
        let mut open = open();
        let open = open.get_or_insert_default();
        open.retain(|_, memory| memory.strong_count() > 0);
        // Another handle may have been faster. Two mappings of the same memory do no harm.
        open.insert(key, Arc::downgrade(&memory));
        Ok(memory)
    }

    fn import(gpu: &Gpu, device: &Device) -> Result<Self, Problem> {
        let base = gpu.open(device.memory)?;
        let mut events = Vec::new();
        for &handle in &device.events {
            match gpu.open_event(handle) {
                Ok(event) => events.push(event),
                Err(problem) => {
                    events.into_iter().for_each(|event| gpu.destroy(event));
                    gpu.close(base);
                    return Err(problem);
                }
            }
        }
        let mut memory = Self::new(gpu, base, device.size, Source::Opened);
        (memory.stride, memory.events) = (device.stride, events);
        Ok(memory)
    }

    /// Hands the memory on for another handle to the same stream.
    pub(super) fn share_again(&self, handle: &mut Handle) -> Result<Option<Holding>> {
        if self.sharing() == Sharing::Handle {
            return Ok(None);
        }
        let ready = Ready::new().map_err(|refusal| refusal.on(handle.name()))?;
        let lock = sharing::hold(handle)?;
        let offer = self.offer(handle, ready)?;
        Ok(Some(Holding { offer, lock }))
    }

    /// Hands the memory on for a handle that has the lock on it.
    fn offer(&self, handle: &Handle, ready: Ready) -> Result<Offer> {
        match &self.source {
            Source::Mapped(_, descriptor) => ready
                .offer(handle, descriptor)
                .map_err(|refusal| refusal.on(handle.name())),
            Source::Allocated(_) | Source::Opened => {
                unreachable!("it was looked at how it is shared")
            }
        }
    }

    /// Returns how the memory is shared.
    const fn sharing(&self) -> Sharing {
        match self.source {
            Source::Mapped(..) => Sharing::Descriptor,
            Source::Allocated(_) | Source::Opened => Sharing::Handle,
        }
    }

    /// Returns the event that notes when a slot is filled, if frames are handed over so.
    pub(super) fn event(&self, slot: usize) -> Option<Event> {
        self.events.get(slot).copied()
    }

    /// Closes or frees everything.
    fn give_back(&self) {
        self.events
            .iter()
            .for_each(|&event| self.gpu.destroy(event));
        match self.source {
            Source::Allocated(_) => self.gpu.free(self.base),
            Source::Opened => self.gpu.close(self.base),
            // The memory goes with the last who has it.
            Source::Mapped(mapped, _) => self.gpu.unmap_shared(mapped),
        }
    }

    /// Returns where a slot begins.
    pub(super) const fn slot(&self, slot: usize) -> Address {
        self.base + (self.stride * slot) as u64
    }
}

fn key_of(gpu: &Gpu, handle: &Handle) -> Result<Key> {
    Ok(Key {
        generation: fork::generation(),
        file: handle.file_id()?,
        instance: handle.header().origin.instance,
        context: gpu.key(),
    })
}

/// Returns what this process has open already.
fn known(key: Key) -> Option<Arc<Memory>> {
    open().as_ref()?.get(&key)?.upgrade()
}

/// Checks that the memory of a stream is there. `file` has no lock on it.
pub(super) fn check_exporter(name: &StreamName, file: &Unshared) -> Result<()> {
    if is_exporter_alive(name, file)? {
        return Ok(());
    }
    Err(Error::gpu(name, Problem::ExporterGone))
}

/// Returns whether the memory of a stream is there. `file` has no lock on it.
pub(super) fn is_exporter_alive(name: &StreamName, file: &Unshared) -> Result<bool> {
    lock::is_row_locked(file, EXPORTER)
        .map_err(|error| Error::os(name, "ask for the exporter", error))
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.generation != fork::generation() {
            return;
        }
        if let Source::Mapped(..) = self.source {
            // Waits for work, which may wait for what opens another stream.
            return self.give_back();
        }
        // While another handle opens the same, the driver would count it twice.
        let _open = open();
        let Source::Allocated(Some(Exported { file, participants })) = &self.source else {
            return self.give_back();
        };
        // Whoever opens it takes a row, then looks at this lock. So either that one finds it free, or
        // its row is found here.
        lock::unlock_row(&**file, EXPORTER);
        let is_used = |row| lock::is_row_locked(&**file, row).unwrap_or(true);
        if !(0..*participants).any(is_used) {
            return self.give_back();
        }
        // Freeing what others have open is undefined, so it stays until this process ends, and the
        // stream with it.
        let _ = lock::try_lock_row(&**file, EXPORTER);
        std::mem::forget(Arc::clone(file));
    }
}
