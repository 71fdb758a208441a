//! What stands in the way of a frame on a GPU.

use std::fmt;

use super::Availability;

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
    /// The process whose memory the frames are in is gone, and the memory with it.
    ExporterGone,
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
    /// The driver does not let processes share device memory here.
    Unsupported {
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
                "the process that created it is gone, and its device memory with it; create it anew \
                 (CudaStream::create takes the name over)",
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
            Self::Unsupported { code, text } => write!(
                f,
                "the driver does not share device memory between processes here: {text} (code {code}); \
                 that is so under WSL2, between MIG instances, and in containers that do not share a \
                 PID namespace"
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
