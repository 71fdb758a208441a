//! What a task needs at least to be woken by another process: a named pipe and tokio.

use std::fs::File;
use std::io::{ErrorKind, Write};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tokio::net::unix::pipe::{OpenOptions, Receiver};
use tokio::runtime::{Builder, Runtime};

use super::{Inlet, Outlet, Send, Transport};
use crate::Outcome;
use crate::shared::directory;

/// Numbers of 8 bytes through a named pipe.
pub(crate) struct Pipe;

impl Transport for Pipe {
    type Outlet = PipeOutlet;
    type Inlet = PipeInlet;

    fn outlet(name: &str, _len: usize, _readers: usize) -> Outcome<PipeOutlet> {
        let path = directory().join(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        // For both directions, or it would wait for a reader.
        let pipe = File::options().read(true).write(true).open(&path);
        Ok(PipeOutlet { pipe: pipe?, path })
    }

    fn inlet(name: &str, _len: usize, _readers: usize) -> Outcome<PipeInlet> {
        let runtime = runtime()?;
        let guard = runtime.enter();
        let pipe = OpenOptions::new().open_receiver(directory().join(name))?;
        drop(guard);
        Ok(PipeInlet { pipe, runtime })
    }
}

/// Makes the runtime that tasks run on: the calling thread, asleep while no task is ready.
pub(crate) fn runtime() -> Outcome<Runtime> {
    Ok(Builder::new_current_thread().enable_io().build()?)
}

pub(crate) struct PipeOutlet {
    pipe: File,
    path: std::path::PathBuf,
}

impl Outlet for PipeOutlet {
    type Open<'a> = &'a mut Self;

    fn open(&mut self) -> &mut Self {
        self
    }
}

impl Send for &mut PipeOutlet {
    fn send(&mut self, number: u64) {
        let bytes = number.to_ne_bytes();
        self.pipe.write_all(&bytes).expect("an open pipe");
    }
}

impl Drop for PipeOutlet {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

pub(crate) struct PipeInlet {
    pipe: Receiver,
    runtime: Runtime,
}

impl Inlet for PipeInlet {
    fn receive(&mut self) -> u64 {
        let mut bytes = [0; 8];
        let pipe = &self.pipe;
        self.runtime.block_on(async {
            loop {
                pipe.readable().await.expect("an open pipe");
                // Eight bytes are written and read in one piece.
                match pipe.try_read(&mut bytes) {
                    Ok(_) => break,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => panic!("an open pipe: {error}"),
                }
            }
        });
        u64::from_ne_bytes(bytes)
    }
}
