//! Errors in words: one line each, complete without the variant's name.

use std::fmt;

use super::Error;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gpu { name, problem } => write!(f, "stream `{name}`: {problem}"),
            Self::InvalidName { name, reason } => {
                write!(f, "`{name}` cannot be a stream's name: {reason}")
            }
            Self::NotFound { name, dir } => {
                write!(f, "stream `{name}` does not exist in {}", dir.display())
            }
            Self::AlreadyExists { name } => write!(
                f,
                "stream `{name}` exists already; open it, use open_or_create, or unlink it first"
            ),
            Self::Foreign { name, path, reason } => write!(
                f,
                "stream `{name}`: {} is not a stream: {reason}; move it away or use another name",
                path.display()
            ),
            Self::OtherUser {
                name,
                path,
                owner,
                user,
                mode,
                remedy,
            } => write!(
                f,
                "stream `{name}`: {} belongs to user {owner}, with mode {mode:04o}, and this is user \
                 {user}; {remedy}",
                path.display()
            ),
            Self::Version {
                name,
                path,
                what,
                stream,
                program,
            } => write!(
                f,
                "stream `{name}`: {} has {what} {stream} and this program needs {program}; unlink \
                 it and create it anew, or use the release of shmstream that wrote it",
                path.display()
            ),
            Self::Corrupt { name, field, value } => write!(
                f,
                "stream `{name}` is damaged: {field} holds {value}; unlink it and create it anew"
            ),
            Self::Type {
                name,
                stream,
                program,
                difference,
            } => write!(
                f,
                "stream `{name}` carries another payload: {difference} (stream: {stream}; program: \
                 {program})"
            ),
            Self::Shape {
                name,
                stream,
                program,
            } => write!(
                f,
                "stream `{name}` has frames of shape {} and this program declares {}",
                crate::schema::shape_text(stream),
                crate::schema::shape_text(program)
            ),
            Self::Field {
                name,
                field,
                reason,
            } if field.is_empty() => write!(f, "stream `{name}`: the payload {reason}"),
            Self::Field {
                name,
                field,
                reason,
            } => write!(f, "stream `{name}`: the field `{field}` {reason}"),
            Self::Index { name, index, shape } => write!(
                f,
                "stream `{name}`: the index {index:?} is outside of the shape {}",
                crate::schema::shape_text(shape)
            ),
            Self::Invalid { name, what, reason } => write!(f, "stream `{name}`: {what} {reason}"),
            Self::TooLarge {
                name,
                needed,
                limit,
                limited_by,
            } => write!(
                f,
                "stream `{name}` is too large: it needs {} and {limited_by} allows {}",
                Bytes(*needed),
                Bytes(*limit)
            ),
            Self::NoSpace {
                name,
                needed,
                free,
                dir,
                remedy,
            } => write!(
                f,
                "stream `{name}` needs {} of shared memory and {} has {} free; {remedy}",
                Bytes(*needed),
                dir.display(),
                Bytes(*free)
            ),
            Self::Limit {
                name,
                operation,
                limit,
                ..
            } => write!(
                f,
                "stream `{name}`: cannot {operation}; the limit is {limit}"
            ),
            Self::TooManyParticipants { name, participants } => write!(
                f,
                "stream `{name}` has room for {participants} handles and all of them are alive; \
                 close some, or create the stream with more participants"
            ),
            Self::Busy { name, holder } => {
                write!(
                    f,
                    "stream `{name}`: the write lock was held until the time was over"
                )?;
                match holder {
                    Some(holder) => write!(f, ", at the end by process {holder}"),
                    None => Ok(()),
                }
            }
            Self::NoFreeSlot {
                name,
                slots,
                holders,
                subscribers,
                loans,
            } => {
                write!(
                    f,
                    "stream `{name}` has no free slot: of its {slots}, one is the latest frame"
                )?;
                if *loans > 0 {
                    write!(f, ", {loans} are on loan to this thread")?;
                }
                if !holders.is_empty() {
                    write!(f, ", guards of {} hold slots", Pids(holders))?;
                }
                if !subscribers.is_empty() {
                    let pids = Pids(subscribers);
                    write!(f, ", lossless subscriptions of {pids} have frames to read")?;
                }
                f.write_str("; ")?;
                if !holders.is_empty() {
                    f.write_str("drop guards sooner, ")?;
                }
                if !subscribers.is_empty() {
                    f.write_str("read on there, ")?;
                }
                f.write_str(
                    "wait for one (write_timeout, loan_timeout), or create the stream with more slots",
                )
            }
            Self::Overtaken {
                name,
                attempts,
                slots,
            } => write!(
                f,
                "stream `{name}`: writers overwrote the frame during each of {attempts} attempts to \
                 copy it; with more than {slots} slots an observer has more time, and a reader that \
                 may write to the file has no such limit"
            ),
            Self::Replaced { name } => write!(
                f,
                "stream `{name}` was unlinked and another was created under its name; open it again"
            ),
            Self::Forked { name } => write!(
                f,
                "stream `{name}`: the handle belongs to the parent process; open the stream after \
                 the fork"
            ),
            Self::Directory { dir, problem, .. } => {
                write!(f, "the directory of streams, {}, {problem}", dir.display())
            }
            Self::Os {
                name: Some(name),
                operation,
                ..
            } => write!(f, "stream `{name}`: cannot {operation}"),
            Self::Os {
                name: None,
                operation,
                ..
            } => write!(f, "streams: cannot {operation}"),
        }
    }
}

/// A number of bytes, with a rounded figure behind large ones.
struct Bytes(u64);

impl fmt::Display for Bytes {
    #[expect(clippy::cast_precision_loss, reason = "a figure with one decimal")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            u64::MAX => return f.write_str("more bytes than can be counted"),
            0x4000_0000.. => (0x4000_0000, "GiB"),
            0x10_0000.. => (0x10_0000, "MiB"),
            bytes => return write!(f, "{bytes} bytes"),
        };
        write!(
            f,
            "{} bytes ({:.1} {name})",
            self.0,
            self.0 as f64 / unit as f64
        )
    }
}

/// Processes in a list.
struct Pids<'a>(&'a [u32]);

impl fmt::Display for Pids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("no process"),
            [pid] => write!(f, "process {pid}"),
            pids => {
                f.write_str("processes")?;
                pids.iter().try_for_each(|pid| write!(f, " {pid}"))
            }
        }
    }
}
