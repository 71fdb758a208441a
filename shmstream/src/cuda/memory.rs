//! The slots on the device: one block, which a process has open once.
//!
//! A process opens the block of another once and closes it once, whatever its handles, and uses its own
//! as it is: the driver refuses handles in the process that made them. So a table knows what is open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::device::{Event, Gpu};
use super::driver::Address;
use crate::error::{Error, Result};
use crate::gpu::Problem;
use crate::layout::Device;
use crate::name::StreamName;
use crate::os::fork::{self, Unshared};
use crate::os::lock;
use crate::stream::handle::EXPORTER;

/// By fork, stream and context.
type Key = (u32, [u8; 16], usize);

static OPEN: Mutex<Option<HashMap<Key, Weak<Memory>>>> = Mutex::new(None);

fn open() -> MutexGuard<'static, Option<HashMap<Key, Weak<Memory>>>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A block of device memory.
#[derive(Debug)]
pub(super) struct Memory {
    gpu: Gpu,
    base: Address,
    stride: u64,
    /// One for each slot if frames are handed over by events, else none.
    events: Vec<Event>,
    key: Key,
    exported: Option<Exported>,
}

/// What the process has that allocated the block.
#[derive(Debug)]
struct Exported {
    /// Holds the lock that says so.
    file: Arc<Unshared>,
    participants: usize,
}

/// A block that belongs to no stream yet; freed if it never does.
#[derive(Debug)]
pub(super) struct Block {
    gpu: Gpu,
    base: Address,
    events: Vec<Event>,
    pub(super) handle: [u8; 64],
    pub(super) event_handles: Vec<[u8; 64]>,
}

impl Block {
    /// Allocates a block, and makes events.
    pub(super) fn allocate(gpu: &Gpu, size: usize, events: usize) -> Result<Self, Problem> {
        let (base, handle) = gpu.allocate(size)?;
        let mut block = Self {
            gpu: gpu.clone(),
            base,
            events: Vec::new(),
            handle,
            event_handles: Vec::new(),
        };
        for _ in 0..events {
            let (event, handle) = gpu.make_event()?;
            block.events.push(event);
            block.event_handles.push(handle);
        }
        Ok(block)
    }

    /// Makes it the memory of a stream that was created with its handle.
    pub(super) fn become_memory(
        mut self,
        instance: [u8; 16],
        stride: usize,
        participants: usize,
        file: &Arc<Unshared>,
    ) -> Arc<Memory> {
        let key = (fork::generation(), instance, self.gpu.key());
        let memory = Arc::new(Memory {
            gpu: self.gpu.clone(),
            base: self.base,
            stride: stride as u64,
            events: std::mem::take(&mut self.events),
            key,
            exported: Some(Exported {
                file: Arc::clone(file),
                participants,
            }),
        });
        std::mem::forget(self);
        open()
            .get_or_insert_default()
            .insert(key, Arc::downgrade(&memory));
        memory
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.gpu.free(self.base);
        self.events
            .iter()
            .for_each(|&event| self.gpu.destroy(event));
    }
}

impl Memory {
    /// Returns the memory of a stream that another handle of this process has open in this context, or
    /// opens it. The caller has a row, so that the exporter does not free it meanwhile.
    pub(super) fn of(
        name: &StreamName,
        gpu: &Gpu,
        instance: [u8; 16],
        device: &Device,
        file: &Unshared,
    ) -> Result<Arc<Self>> {
        let key = (fork::generation(), instance, gpu.key());
        let mut open = open();
        let open = open.get_or_insert_default();
        if let Some(known) = open.get(&key).and_then(Weak::upgrade) {
            return Ok(known);
        }
        open.retain(|_, memory| memory.strong_count() > 0);
        check_exporter(name, file)?;
        let memory = match Self::import(gpu, key, device) {
            Ok(memory) => Arc::new(memory),
            Err(problem) => {
                // It may have died since.
                check_exporter(name, file)?;
                return Err(Error::gpu(name, problem));
            }
        };
        open.insert(key, Arc::downgrade(&memory));
        Ok(memory)
    }

    fn import(gpu: &Gpu, key: Key, device: &Device) -> Result<Self, Problem> {
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
        Ok(Self {
            gpu: gpu.clone(),
            base,
            stride: device.stride as u64,
            events,
            key,
            exported: None,
        })
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
        match self.exported {
            Some(_) => self.gpu.free(self.base),
            None => self.gpu.close(self.base),
        }
    }

    /// Returns where a slot begins.
    pub(super) const fn slot(&self, slot: usize) -> Address {
        self.base + self.stride * slot as u64
    }
}

/// Checks that the process whose memory it is is alive and has not freed it.
pub(super) fn check_exporter(name: &StreamName, file: &Unshared) -> Result<()> {
    if is_exporter_alive(name, file)? {
        return Ok(());
    }
    Err(Error::gpu(name, Problem::ExporterGone))
}

/// Returns whether the memory of a stream is there. `file` is not the exporter's own descriptor.
pub(super) fn is_exporter_alive(name: &StreamName, file: &Unshared) -> Result<bool> {
    lock::is_row_locked(file, EXPORTER)
        .map_err(|error| Error::os(name, "ask for the exporter", error))
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.key.0 != fork::generation() {
            return;
        }
        // While another handle opens the same, the driver would count it twice.
        let _open = open();
        let Some(Exported { file, participants }) = &self.exported else {
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
