//! A stream's file before anybody is attached to it: its header, and the mark of a lost name.

use std::os::fd::AsFd;

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::layout::{Defect, HEADER_LEN, Header, Origin, header_len};
use crate::name::StreamName;
use crate::os::clock::Clock;
use crate::os::shm::Directory;
use crate::os::space::may_write;
use crate::protocol::{Head, UNLINKED};
use crate::schema::Schema;

/// Draws what tells a new stream from all others.
pub(super) fn origin(name: &StreamName) -> Result<Origin> {
    let mut instance = [0; 16];
    rustix::rand::getrandom(&mut instance, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| Error::os(name, "draw an instance id", error))?;
    Ok(Origin {
        instance,
        created_ns: Clock::default().now().realtime_ns,
        creator_pid: std::process::id(),
        creator_uid: rustix::process::geteuid().as_raw(),
    })
}

/// Tells writers that the stream has lost its name.
pub(super) fn mark_unlinked(name: &StreamName, file: impl AsFd, header: &Header) -> Result<()> {
    let offset = header.layout.control + Head::FLAGS_OFFSET;
    write_at(file, &UNLINKED.to_ne_bytes(), offset)
        .map_err(|error| Error::os(name, "mark the stream as unlinked", error))
}

/// Says why a name cannot be given to a new stream.
#[cold]
pub(super) fn taken(directory: &Directory, name: &StreamName) -> Error {
    let header = directory
        .open(name, false)
        .and_then(|(file, file_len)| read_header(directory, name, &file, file_len));
    match header {
        // What stands there is no stream, or is another user's: say that.
        Err(error @ Error::Foreign { .. }) => error,
        Err(error @ Error::OtherUser { .. }) => with_remedy(error, "choose another name"),
        _ => Error::AlreadyExists { name: name.clone() },
    }
}

/// Says what to do about another user's stream where the usual advice does not help.
#[cold]
pub(super) fn with_remedy(error: Error, advice: &'static str) -> Error {
    match error {
        Error::OtherUser {
            name,
            path,
            owner,
            user,
            mode,
            ..
        } => Error::OtherUser {
            name,
            path,
            owner,
            user,
            mode,
            remedy: advice,
        },
        other => other,
    }
}

/// Reads and checks the header of a stream's file.
pub(super) fn read_header(
    directory: &Directory,
    name: &StreamName,
    file: impl AsFd,
    file_len: u64,
) -> Result<Header> {
    let read =
        |len| read_start(&file, len).map_err(|error| Error::os(name, "read its header", error));
    let explain = |defect| match defect {
        Defect::Foreign(reason) => Error::Foreign {
            name: name.clone(),
            path: directory.file(name),
            reason,
        },
        Defect::Other(what, stream, program) => Error::Version {
            name: name.clone(),
            path: directory.file(name),
            what,
            stream,
            program,
        },
        Defect::Corrupt(field, value) => Error::corrupt(name, field, value),
    };
    let len = header_len(&read(HEADER_LEN)?, file_len).map_err(explain)?;
    Header::decode(&read(len)?, file_len, rustix::param::page_size()).map_err(explain)
}

/// Reads the first `len` bytes of a file, or as many as it has.
fn read_start(file: impl AsFd, len: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; len];
    let mut done = 0;
    while done < len {
        match rustix::io::pread(&file, &mut bytes[done..], done as u64) {
            Ok(0) => break,
            Ok(more) => done += more,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// Writes bytes into a file at `offset`.
pub(super) fn write_at(file: impl AsFd, bytes: &[u8], offset: usize) -> Result<(), Errno> {
    if !may_write((offset + bytes.len()) as u64) {
        return Err(Errno::FBIG);
    }
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::pwrite(&file, &bytes[done..], (offset + done) as u64) {
            Ok(more) => done += more,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Checks that the schema of a stream is what a program expects.
pub(crate) fn check_schema(name: &StreamName, stream: &Schema, program: &Schema) -> Result<()> {
    let name = || name.clone();
    if let Some(difference) = stream.item().difference(program.item()) {
        return Err(Error::Type {
            name: name(),
            stream: stream.to_string(),
            program: program.to_string(),
            difference,
        });
    }
    if stream.shape() != program.shape() {
        return Err(Error::Shape {
            name: name(),
            stream: stream.shape().to_vec(),
            program: program.shape().to_vec(),
        });
    }
    Ok(())
}
