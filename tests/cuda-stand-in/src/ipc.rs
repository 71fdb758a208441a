//! Handles for other processes, of memory and of events.
//!
//! A handle names a descriptor of the process that made it. So it can be opened while that process
//! lives, and not after; what is open then stays open.

use std::collections::BTreeMap;
use std::ffi::c_uint;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Mutex;

use rustix::fs::{Mode, OFlags, fstat, open};

use crate::blocks::{Address, Block, Origin, insert, take, whole};
use crate::call::{Code, Out, context_call};
use crate::context::Context;
use crate::device::{Physical, reaches};
use crate::event::{self, Event};
use crate::identity::visible_pid;
use crate::mapping::{Mapping, pages};
use crate::status::{Outcome, Status};
use crate::table::lock;

/// `CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS`, which must be given.
const LAZY_PEER_ACCESS: c_uint = 1;

const MEMORY: u32 = 0x4d45_4d31;
const EVENT: u32 = 0x4556_5431;

/// What the driver fills in and gets back, by value. Opaque to callers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(C)]
pub(crate) struct Handle([u8; 64]);

/// What is in a handle.
struct Ticket {
    kind: u32,
    /// The process that made it, as the driver sees it.
    maker: u32,
    /// The process that made it, as the system sees it, and its descriptor.
    pid: u32,
    descriptor: u32,
    /// The number of the file, so that another one at that descriptor is not taken for it.
    inode: u64,
    size: u64,
    device: Physical,
}

impl Ticket {
    fn new(kind: u32, file: &OwnedFd, size: usize, device: Physical) -> Outcome<Self> {
        let failed = |_| Status::INVALID_VALUE;
        Ok(Self {
            kind,
            maker: visible_pid(),
            pid: std::process::id(),
            descriptor: u32::try_from(file.as_raw_fd()).map_err(failed)?,
            inode: fstat(file).map_err(|_| Status::INVALID_VALUE)?.st_ino,
            size: u64::try_from(size).map_err(failed)?,
            device,
        })
    }

    fn handle(&self) -> Handle {
        let mut bytes = [0; 64];
        let words = [
            self.kind,
            self.maker,
            self.pid,
            self.descriptor,
            self.device,
        ];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes[24..32].copy_from_slice(&self.inode.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.size.to_le_bytes());
        Handle(bytes)
    }

    /// Reads a handle of another process.
    fn read(handle: &Handle, kind: u32) -> Outcome<Self> {
        let word = |at: usize| {
            let bytes = handle.0[at..at + 4].try_into();
            u32::from_le_bytes(bytes.unwrap_or_default())
        };
        let wide = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let ticket = Self {
            kind: word(0),
            maker: word(4),
            pid: word(8),
            descriptor: word(12),
            device: word(16),
            inode: wide(24),
            size: wide(32),
        };
        if ticket.kind != kind {
            return Err(Status::INVALID_VALUE);
        }
        // The driver knows a process by its PID alone, so this also meets another container's.
        if ticket.maker == visible_pid() {
            return Err(Status::INVALID_CONTEXT);
        }
        Ok(ticket)
    }

    /// Opens what the handle names.
    fn open(&self) -> Outcome<OwnedFd> {
        let path = format!("/proc/{}/fd/{}", self.pid, self.descriptor);
        // What a driver says when the maker is gone is written nowhere; this code is a guess.
        let gone = |_| Status::INVALID_VALUE;
        let file = open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(gone)?;
        if fstat(&file).map_err(gone)?.st_ino != self.inode {
            return Err(Status::INVALID_VALUE);
        }
        Ok(file)
    }
}

/// The open handles of each context: where the block is, and how often it was opened.
static OPEN: Mutex<BTreeMap<(usize, Handle), (Address, usize)>> = Mutex::new(BTreeMap::new());

/// Forgets the handles that a context had open.
pub(crate) fn forget(context: &Context) {
    lock(&OPEN).retain(|(each, _), _| *each != context.handle);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuIpcGetMemHandle(result: Out<Handle>, address: Address) -> Code {
    context_call("cuIpcGetMemHandle", |_| {
        let block = whole(address, |_| true)?;
        // Stream-ordered memory, imports and mapped descriptors have none.
        let Origin::Alloc { file } = &block.origin else {
            return Err(Status::INVALID_VALUE);
        };
        result.put(Ticket::new(MEMORY, file, block.size, block.device)?.handle())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuIpcOpenMemHandle_v2(
    result: Out<Address>,
    handle: Handle,
    flags: c_uint,
) -> Code {
    context_call("cuIpcOpenMemHandle_v2", |context| {
        if flags != LAZY_PEER_ACCESS {
            return Err(Status::INVALID_VALUE);
        }
        let ticket = Ticket::read(&handle, MEMORY)?;
        if !reaches(context.device, ticket.device) {
            return Err(Status::PEER_ACCESS_UNSUPPORTED);
        }
        let mut all = lock(&OPEN);
        let key = (context.handle, handle);
        if let Some((address, count)) = all.get_mut(&key) {
            result.put(*address)?;
            *count += 1;
            return Ok(());
        }
        let file = ticket.open()?;
        let size = usize::try_from(ticket.size).map_err(|_| Status::INVALID_VALUE)?;
        let mapping = Mapping::of(&file, pages(size)?).map_err(|_| Status::MAP_FAILED)?;
        let mut block = Block::new(mapping, size, Origin::Import, context);
        block.device = ticket.device;
        let address = insert(block);
        all.insert(key, (address, 1));
        result.put(address)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuIpcCloseMemHandle(address: Address) -> Code {
    context_call("cuIpcCloseMemHandle", |_| {
        whole(address, |block| matches!(block.origin, Origin::Import))?;
        let mut all = lock(&OPEN);
        let open = all.iter_mut().find(|(_, (each, _))| *each == address);
        let (key, (_, count)) = open.ok_or(Status::INVALID_VALUE)?;
        *count -= 1;
        if *count > 0 {
            return Ok(());
        }
        let key = *key;
        all.remove(&key);
        drop(all);
        take(address).map(drop)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuIpcGetEventHandle(result: Out<Handle>, event: usize) -> Code {
    context_call("cuIpcGetEventHandle", |context| {
        let event = event::find(event)?;
        let file = event.file.as_ref().ok_or(Status::INVALID_HANDLE)?;
        result.put(Ticket::new(EVENT, file, 0, context.device)?.handle())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuIpcOpenEventHandle(result: Out<usize>, handle: Handle) -> Code {
    context_call("cuIpcOpenEventHandle", |context| {
        let file = Ticket::read(&handle, EVENT)?.open()?;
        result.put(event::register(Event::opened(context, &file)?))
    })
}
