//! Creating a stream: how its memory is shared, and a name whose memory is gone.

use std::sync::Arc;

use cudarc::driver::CudaContext;

use super::{CudaStream, Placement, declared, placement};
use crate::cuda::device::Gpu;
use crate::cuda::memory::{Block, is_exporter_alive};
use crate::cuda::shared::Shared;
use crate::error::{Error, Result};
use crate::gpu::Problem;
use crate::layout::{Device, Handover, Header, Plan, Sharing};
use crate::name::StreamName;
use crate::payload::GpuPayload;
use crate::stream::Options;
use crate::stream::handle::Handle;

/// How a stream that is created is to be used by several processes.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct Ways {
    pub(in crate::cuda) handover: Handover,
    /// `None` for by descriptors where that works.
    pub(in crate::cuda) sharing: Option<Sharing>,
}

impl Ways {
    /// Checks that the ways go together, and returns how memory is shared if that does not depend on what
    /// works.
    fn check(self, name: &StreamName) -> Result<Option<Sharing>> {
        match (self.handover, self.sharing) {
            (Handover::Callback, sharing) => Ok(sharing),
            // Events are opened by handles, and go with their creator anyway.
            (Handover::Event, None | Some(Sharing::Handle)) => Ok(Some(Sharing::Handle)),
            (Handover::Event, Some(Sharing::Descriptor)) => {
                let reason = "must be Sharing::Handle for frames that are handed over by event: events \
                              are opened by handles, and go with the process that created them";
                Err(Error::invalid(name, "the sharing", String::from(reason)))
            }
        }
    }
}

impl<T: GpuPayload, P: Placement> CudaStream<T, P> {
    pub(in crate::cuda) fn create_with(
        name: &StreamName,
        options: &Options,
        ways: Ways,
        shape: &[usize],
        context: &Arc<CudaContext>,
    ) -> Result<Self> {
        let sharing = ways.check(name)?;
        let gpu = Gpu::new(context).map_err(|problem| Error::gpu(name, problem))?;
        let plan = options.plan(name, declared::<T>(name, shape)?)?;
        give_up_dead(name)?;
        let create =
            |plan, sharing| Self::create_as(name, options, plan, ways.handover, sharing, &gpu);
        match sharing {
            Some(sharing) => create(plan, sharing),
            // Anything else that failed would fail again, or has its own way out: less than was asked for
            // is no answer to a lack of memory.
            None => create(plan.clone(), Sharing::Descriptor).or_else(|error| match error {
                Error::Gpu {
                    problem: Problem::NoDescriptors { .. },
                    ..
                } => create(plan, Sharing::Handle),
                _ => Err(error),
            }),
        }
    }

    fn create_as(
        name: &StreamName,
        options: &Options,
        mut plan: Plan,
        handover: Handover,
        sharing: Sharing,
        gpu: &Gpu,
    ) -> Result<Self> {
        let sizes = Device::sizes(plan.schema.size(), plan.slots);
        let (stride, size) = sizes.ok_or_else(|| Error::TooLarge {
            name: name.clone(),
            needed: u64::MAX,
            limit: isize::MAX.unsigned_abs() as u64,
            limited_by: "the address space",
        })?;
        let events = match handover {
            Handover::Callback => 0,
            Handover::Event => plan.slots,
        };
        // Behind the memory when they are given up, as the lock is to be.
        let (mut shared, mut holding) = (None, None);
        let mut block = Block::allocate(name, gpu, size, events, sharing)?;
        plan.device = Some(Device {
            uuid: gpu.uuid().map_err(|problem| Error::gpu(name, problem))?,
            placement: placement::<P>(),
            handover,
            sharing,
            memory: block.handle,
            stride,
            size,
            events: std::mem::take(&mut block.event_handles),
        });
        let handle = options.create_planned(name, plan, |handle| {
            shared = Some(Shared::new(name, handle)?);
            holding = block.share(handle)?;
            Ok(())
        })?;
        let memory = block.become_memory(&handle, stride)?;
        let shared = shared.expect("it was made before the stream had its name");
        Ok(Self::join(handle, shared, memory, holding, gpu.clone()))
    }
}

/// Takes the name away from a stream on a device whose memory is gone with its process.
fn give_up_dead(name: &StreamName) -> Result<()> {
    let check = |header: &Header| match header.plan.device {
        Some(_) => Ok(()),
        None => Err(Error::AlreadyExists { name: name.clone() }),
    };
    let handle = match Handle::open_device(name, &Options::default(), check) {
        Ok(handle) => handle,
        Err(Error::NotFound { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    if is_exporter_alive(name, handle.file())? {
        return Err(Error::AlreadyExists { name: name.clone() });
    }
    match handle.unlink() {
        // Somebody else was faster.
        Err(Error::NotFound { .. } | Error::Replaced { .. }) => Ok(()),
        result => result,
    }
}
