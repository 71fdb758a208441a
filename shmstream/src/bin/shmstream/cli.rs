//! The command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use shmstream::StreamName;

use crate::style;

const CODES: &str = "\
Exit codes:
  0  done; also when the reader of the output closed it, and after Ctrl-C in `watch`
  1  `check` or `doctor` found something, `apply` found a stream that differs, there is no frame,
     or `purge` was declined
  2  the command line, or a file that it names, is not valid
  3  there is no such stream, or another has its name by now
  4  the file under the name is not a stream
  5  the stream is damaged
  6  the stream is of another format version, byte order or page size
  7  no permission
  8  the system refused: memory, limits, input and output
With several streams, the code is that of the first that failed.

Environment:
  SHMSTREAM_DIR  the directory of the streams; /dev/shm unless set
  NO_COLOR       no colours, if not empty";

/// Looks into shmstream streams: typed shared memory between the processes of this machine.
///
/// Needs no knowledge of the types: each stream carries its schema. Looking opens a stream read-only
/// and disturbs neither its writers nor its readers.
#[derive(Debug, Parser)]
#[command(name = "shmstream", bin_name = "shmstream", version, styles = style::HELP, after_help = CODES, max_term_width = 100)]
pub(crate) struct Cli {
    /// When to use colours.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        help = "When to use colours: auto, always, never"
    )]
    pub(crate) color: ColorChoice,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List all streams and how they are.
    List(List),
    /// Describe one stream: file, payload, latest frame, participants.
    Info(Info),
    /// Print a line for each frame as it comes, until Ctrl-C.
    Watch(Watch),
    /// Print the latest frame, decoded by its schema.
    Dump(Dump),
    /// Take away the names of streams; those who have them open go on.
    Unlink(Unlink),
    /// Unlink all of this user's streams that no live process is attached to.
    Purge(Purge),
    /// Create the streams that a file declares and that are not there yet.
    Apply(Declared),
    /// Compare the streams that a file declares with those that are there.
    Check(Declared),
    /// Look for what stands in the way of streams on this machine.
    Doctor(Json),
    /// Print the completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Json {
    /// Print JSON for programs.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) json: Json,
    #[command(flatten)]
    pub(crate) active: Active,
}

#[derive(Debug, Args)]
pub(crate) struct Info {
    #[command(flatten)]
    pub(crate) stream: Stream,
    #[command(flatten)]
    pub(crate) json: Json,
    #[command(flatten)]
    pub(crate) active: Active,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Active {
    /// Call a stream active whose latest frame is not older than this.
    #[arg(long = "active-within", value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) within: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(crate) stream: Stream,
    /// Print a line each second instead: frames a second, missed, bandwidth, age.
    #[arg(long)]
    pub(crate) rate: bool,
    /// Print the values too, on the same line; large frames are abridged.
    #[arg(long, conflicts_with = "rate")]
    pub(crate) values: bool,
    /// Print a JSON object in each line.
    #[arg(long)]
    pub(crate) json: bool,
    /// End after so many lines.
    #[arg(short = 'n', long, value_name = "LINES", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End with exit code 1 when no frame comes for so long.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Dump {
    #[command(flatten)]
    pub(crate) stream: Stream,
    /// How to write the frame [default: by the extension of --output, or else text].
    #[arg(short, long)]
    pub(crate) format: Option<Format>,
    /// Write to a file instead of the standard output.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Only this field of every item, such as pose.position.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::Other)]
    pub(crate) field: Option<String>,
    /// All of a large array, as text.
    #[arg(long)]
    pub(crate) full: bool,
}

/// What `dump` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people; the middle of large arrays is left out.
    Text,
    /// One JSON object: the frame header, and the value.
    Json,
    /// A file for NumPy; structs become structured dtypes.
    Npy,
}

#[derive(Debug, Args)]
pub(crate) struct Unlink {
    /// The streams.
    #[arg(required = true, value_name = "NAME", value_parser = stream_name(), value_hint = ValueHint::Other)]
    pub(crate) names: Vec<StreamName>,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Purge {
    /// Do not ask.
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Also streams in use, damaged ones and those of another version.
    #[arg(long)]
    pub(crate) force: bool,
    /// Only say what would be unlinked.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Debug, Args)]
pub(crate) struct Declared {
    /// The file, TOML or JSON by its extension.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Debug, Args)]
pub(crate) struct Stream {
    /// The stream.
    #[arg(value_name = "NAME", value_parser = stream_name(), value_hint = ValueHint::Other)]
    pub(crate) name: StreamName,
}

/// Takes a name with any bytes in it, as a shell can give them.
fn stream_name() -> impl TypedValueParser<Value = StreamName> {
    OsStringValueParser::new().try_map(|name: OsString| StreamName::new(name.as_bytes()))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn is_consistent() {
        Cli::command().debug_assert();
    }
}
