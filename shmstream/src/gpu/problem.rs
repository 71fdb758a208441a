//! What stands in the way of a frame on a GPU.

use std::fmt;

use super::Availability;

/// Where a process is whose driver does not share device memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// Under Windows, in its subsystem for Linux.
    Wsl2,
    /// On an instance of a GPU that is divided (MIG).
    MigInstance,
    /// On one of two GPUs that cannot reach each other's memory.
    Apart,
    /// None of these.
    Unknown,
}

#[cfg(any(feature = "cuda", test))]
impl Place {
    /// The driver's code for devices that cannot reach each other.
    const NO_PEER_ACCESS: i32 = 217;

    /// Finds out where this is, given what the driver answered and the device's name.
    #[cfg(feature = "cuda")]
    pub(crate) fn find(code: i32, device: &str) -> Self {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let has_dxg = std::path::Path::new("/dev/dxg").exists();
        Self::of(code, device, &release, has_dxg)
    }

    fn of(code: i32, device: &str, release: &str, has_dxg: bool) -> Self {
        match code {
            Self::NO_PEER_ACCESS => Self::Apart,
            // Windows' device for GPUs, and Microsoft's kernel.
            _ if has_dxg || release.to_lowercase().contains("microsoft") => Self::Wsl2,
            // As in `NVIDIA H100 80GB HBM3 MIG 1g.10gb`.
            _ if device.split(' ').any(|word| word == "MIG") => Self::MigInstance,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Place {
    /// Writes the cause and the way out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wsl2 => {
                "this is WSL2, whose driver shares none; run on Linux itself, or pass frames through a \
                 stream on the host (Stream)"
            }
            Self::MigInstance => {
                "this is a MIG instance, which shares its memory with no other; have the processes use one \
                 instance (CUDA_VISIBLE_DEVICES) or a GPU that is not divided, or pass frames through a \
                 stream on the host (Stream)"
            }
            Self::Apart => {
                "its device and this program's have no peer access; make a context of the stream's device \
                 (cuda::context_of)"
            }
            Self::Unknown => {
                "that is so in containers that do not share a PID namespace, and of devices and drivers \
                 without IPC; share it (docker: --pid), or pass frames through a stream on the host (Stream)"
            }
        })
    }
}

/// Why none of the processes that have a stream's device memory handed it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Holders {
    /// None of their sockets is there: they are in another network namespace.
    Elsewhere,
    /// They are other users' than this process's, the file's owner and root, and were not asked.
    OtherUsers,
    /// They took the question and hung up.
    Refused,
    /// They did not answer in time.
    Silent,
}

impl fmt::Display for Holders {
    /// Writes the cause and the way out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Elsewhere => {
                "they are in another network namespace, or kept apart by a sandbox; share it (docker: \
                 --network), or create the stream with memory handles (Sharing::Handle)"
            }
            Self::OtherUsers => {
                "they are neither this user's nor of the file's owner nor root's, and only those are asked; \
                 keep a process of one of them attached, or create the stream with memory handles \
                 (Sharing::Handle)"
            }
            Self::Refused => {
                "they refused: this user may not write to the stream's file, or they have no descriptors \
                 left; see its mode, and `ulimit -n` where they run"
            }
            Self::Silent => {
                "they do not answer: they are stopped, or the machine is too busy; let them go on, and try \
                 again"
            }
        })
    }
}

/// What stands in the way of a frame on a GPU; the [`Error`](crate::Error) around it names the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// This process has no GPU.
    NoGpu(Availability),
    /// The frames are on a device alone, and were asked for on the host.
    OnDevice,
    /// The frames were to be written on the host, and are written on a device and mirrored.
    Mirrored,
    /// The frames are on the host alone, and were asked for on a device.
    OnHost,
    /// The stream is declared to be on a GPU, and was to be created without one.
    Declared,
    /// The placement is not the one that this program declares.
    Placement {
        /// That of the stream.
        stream: &'static str,
        /// That of the program.
        program: &'static str,
    },
    /// The frames are on another device than the context's, be it a peer of that or not; or on one that
    /// this process does not see. Instances of a MIG device are devices of their own.
    WrongDevice {
        /// The device of the stream, by its UUID.
        stream: String,
        /// The device of the context, or all that the process sees, by UUID.
        program: String,
    },
    /// The queue belongs to another context than the stream.
    WrongContext,
    /// The memory that the frames are in is gone: with the process that created it, or, shared by
    /// descriptors, with the last that had it open.
    ExporterGone,
    /// Processes have the memory that the frames are in, and none handed it over. Of streams that are
    /// shared by descriptors.
    Unreachable(Holders),
    /// The driver does not share memory by descriptors here, or the system has no sockets to hand them on,
    /// and the stream was to be created so.
    NoDescriptors {
        /// What was tried.
        operation: &'static str,
        /// The driver's code, or zero where none was asked for.
        code: i32,
        /// What the driver says of it.
        text: String,
    },
    /// The writer of the latest frame died before its work on that was done, and no frame is left that is
    /// complete. Of streams that are handed over by event.
    WriterGone {
        /// The count of the latest frame.
        count: u64,
    },
    /// Work in the context failed, and so does all else in it from now on.
    ContextLost {
        /// The driver's code.
        code: i32,
        /// What the driver says of it.
        text: String,
    },
    /// The driver takes this process for the one that created the stream: in two containers, their PIDs
    /// are equal.
    EqualPids {
        /// The PID.
        pid: u32,
    },
    /// The driver makes no handle to the memory that it allocated, since that is stream-ordered or managed.
    /// A stream asks for neither.
    StreamOrdered,
    /// The driver does not let processes share device memory here.
    Unsupported {
        /// Where this is, as far as the machine tells.
        place: Place,
        /// The driver's code.
        code: i32,
        /// What the driver says of it.
        text: String,
    },
    /// The driver refused a call.
    Driver {
        /// What was tried.
        operation: &'static str,
        /// The driver's code.
        code: i32,
        /// What the driver says of it.
        text: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGpu(availability) => availability.fmt(f),
            Self::OnDevice => f.write_str(
                "its frames are in the memory of a GPU alone; open it with CudaStream (feature `cuda`), \
                 or create it as CudaStream<T, Mirrored>",
            ),
            Self::Mirrored => f.write_str(
                "its frames are written on a GPU and only mirrored here; write through CudaStream",
            ),
            Self::OnHost => f.write_str(
                "its frames are in the host's memory; open it with Stream or DynStream",
            ),
            Self::Declared => f.write_str(
                "it is declared to live on a GPU, and is created by the process whose GPU it is, with \
                 CudaStream::create_declared",
            ),
            Self::Placement { stream, program } => write!(
                f,
                "its placement is {stream} and this program declares {program}; open it with that one"
            ),
            Self::WrongDevice { stream, program } => write!(
                f,
                "its frames are on the device {stream}, and this program is on {program}; make a context \
                 of the former (cuda::context_of), and see CUDA_VISIBLE_DEVICES"
            ),
            Self::WrongContext => f.write_str(
                "the queue belongs to another context than the stream; take a queue of the context \
                 that the stream was opened with",
            ),
            Self::ExporterGone => f.write_str(
                "its device memory is gone, with the process that created it or, shared by descriptors, \
                 the last that had it open; create it anew (CudaStream::create takes the name over)",
            ),
            Self::Unreachable(holders) => write!(
                f,
                "processes have its device memory, and none hands it over: {holders}"
            ),
            Self::NoDescriptors { operation, code, text } => write!(
                f,
                "device memory is not shared by descriptors here, since it was not possible to {operation}: \
                 {text} (code {code}); create the stream with Sharing::Handle, or leave the choice to `create`"
            ),
            Self::WriterGone { count } => write!(
                f,
                "the writer of frame {count} is gone and its work on that was not done, and no older frame \
                 is left; wait for the next, and see `history` and `slots` of the builder for keeping older \
                 ones"
            ),
            Self::ContextLost { code, text } => write!(
                f,
                "the context is lost, since work in it failed: {text} (code {code}); drop its streams, \
                 whose slots and lock are others' now, and go on in a new process"
            ),
            Self::EqualPids { pid } => write!(
                f,
                "the driver takes this process for the one that created the stream: their PIDs, {pid} here, \
                 are equal in two containers; have the containers share a PID namespace, or start one of \
                 the processes again"
            ),
            Self::StreamOrdered => f.write_str(
                "the driver makes no handle to its device memory, as for stream-ordered and managed memory, \
                 which a stream does not ask for: something between this program and the driver allocates \
                 that instead; start without it (see LD_PRELOAD)",
            ),
            Self::Unsupported { place, code, text } => write!(
                f,
                "the driver does not share device memory between processes here: {text} (code {code}); {place}"
            ),
            Self::Driver {
                operation,
                code,
                text,
            } => write!(f, "the driver cannot {operation}: {text} (code {code})"),
        }
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_tells_where_it_is() {
        let linux = "6.8.0-45-generic";
        for (code, device, release, has_dxg, place) in [
            (801, "NVIDIA H100 80GB HBM3", linux, false, Place::Unknown),
            (
                801,
                "NVIDIA RTX 4090",
                "5.15.153.1-microsoft-standard-WSL2",
                false,
                Place::Wsl2,
            ),
            (
                801,
                "NVIDIA RTX 4090",
                "4.4.0-19041-Microsoft",
                false,
                Place::Wsl2,
            ),
            (999, "NVIDIA RTX 4090", linux, true, Place::Wsl2),
            (
                801,
                "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
                linux,
                false,
                Place::MigInstance,
            ),
            (801, "A MIGHTY GPU", linux, false, Place::Unknown),
            (
                217,
                "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
                linux,
                false,
                Place::Apart,
            ),
        ] {
            assert_eq!(
                Place::of(code, device, release, has_dxg),
                place,
                "{device}, {release}"
            );
        }
    }
}
