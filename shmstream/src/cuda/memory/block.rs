//! A block that is allocated for a stream, until the stream has it.

use std::sync::Arc;

use super::{Exported, Memory, Source, key_of, open};
use crate::cuda::device::Gpu;
use crate::cuda::sharing::{self, Holding, Ready};
use crate::error::{Error, Result};
use crate::layout::Sharing;
use crate::name::StreamName;
use crate::stream::handle::Handle;

/// A block that belongs to no stream yet; freed if it never does.
#[derive(Debug)]
pub(in crate::cuda) struct Block {
    memory: Memory,
    /// What others open it by; zero where that is a descriptor.
    pub(in crate::cuda) handle: [u8; 64],
    pub(in crate::cuda) event_handles: Vec<[u8; 64]>,
    /// What it takes to hand descriptors on.
    ready: Option<Ready>,
}

impl Block {
    /// Allocates a block to be shared in this way, and makes events.
    pub(in crate::cuda) fn allocate(
        name: &StreamName,
        gpu: &Gpu,
        size: usize,
        events: usize,
        sharing: Sharing,
    ) -> Result<Self> {
        let mut block = match sharing {
            Sharing::Descriptor => Self::by_descriptor(name, gpu, size)?,
            Sharing::Handle => Self::by_handle(name, gpu, size)?,
        };
        for _ in 0..events {
            let made = gpu.make_event();
            let (event, handle) = made.map_err(|problem| Error::gpu(name, problem))?;
            block.memory.events.push(event);
            block.event_handles.push(handle);
        }
        Ok(block)
    }

    fn by_handle(name: &StreamName, gpu: &Gpu, size: usize) -> Result<Self> {
        let allocated = gpu.allocate(size);
        let (base, handle) = allocated.map_err(|problem| Error::gpu(name, problem))?;
        Ok(Self {
            memory: Memory::new(gpu, base, size, Source::Allocated(None)),
            handle,
            event_handles: Vec::new(),
            ready: None,
        })
    }

    fn by_descriptor(name: &StreamName, gpu: &Gpu, size: usize) -> Result<Self> {
        let ready = Ready::new().map_err(|refusal| refusal.on_new(name))?;
        let made = gpu.make_shared(size);
        let (mapped, descriptor) = made.map_err(|problem| Error::gpu(name, problem))?;
        Ok(Self {
            memory: Memory::mapped(name, gpu, mapped, descriptor)?,
            handle: [0; 64],
            event_handles: Vec::new(),
            ready: Some(ready),
        })
    }

    /// Lets others open it, for a handle to the stream that is created with it.
    pub(in crate::cuda) fn share(&mut self, handle: &mut Handle) -> Result<Option<Holding>> {
        // Nobody else has the file so far, so nobody has the lock.
        match (self.ready.take(), &self.memory.source) {
            (Some(ready), Source::Mapped(_, descriptor)) => {
                let lock = sharing::hold(handle)?;
                let offer = ready.offer(handle, descriptor);
                let offer = offer.map_err(|refusal| refusal.on_new(handle.name()))?;
                Ok(Some(Holding { offer, lock }))
            }
            _ => {
                handle.hold_memory(Sharing::Handle)?;
                Ok(None)
            }
        }
    }

    /// Makes it the memory of the stream that was created with it.
    pub(in crate::cuda) fn become_memory(
        self,
        handle: &Handle,
        stride: usize,
    ) -> Result<Arc<Memory>> {
        let mut memory = self.memory;
        memory.stride = stride;
        if let Source::Allocated(exported) = &mut memory.source {
            *exported = Some(Exported {
                file: Arc::clone(handle.file()),
                participants: handle.header().plan.participants,
            });
        }
        let (key, memory) = (key_of(&memory.gpu, handle)?, Arc::new(memory));
        open()
            .get_or_insert_default()
            .insert(key, Arc::downgrade(&memory));
        Ok(memory)
    }
}
