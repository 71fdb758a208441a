//! `shmstream dump`: the latest frame, decoded.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use shmstream::{DynStream, Error, FrameInfo, Observer, Schema, StreamName};

use crate::cli::{Dump, Format};
use crate::failure::{Exit, Failure};
use crate::header::FrameHeader;
use crate::output::{Output, complain};
use crate::style;
use crate::units::{self, Moment};
use crate::value::text::Layout;
use crate::value::{Value, npy, select, text};

/// How long to try again to copy a frame that writers overwrite.
const PATIENCE: Duration = Duration::from_secs(2);
/// Where lines of numbers are broken if the output is no terminal.
const WIDTH: usize = 80;

/// A frame, or a field of its items.
struct Picture {
    info: FrameInfo,
    schema: Schema,
    bytes: Vec<u8>,
}

pub(crate) fn run(options: &Dump, out: &mut Output) -> Result<(), Failure> {
    let format = format(options)?;
    let picture = take(options)?;
    if format == Format::Npy {
        for note in npy::notes(&picture.schema) {
            complain(note);
        }
    }
    match &options.output {
        Some(path) => {
            let file = File::create(path).map_err(Failure::file(path))?;
            let mut file = BufWriter::new(file);
            write(
                options,
                &picture,
                format,
                layout(None, options.full),
                &mut file,
            )
            .and_then(|()| file.flush())
            .map_err(Failure::file(path))
        }
        None if format == Format::Npy => {
            // Past what takes colours out of text.
            let mut out = BufWriter::new(io::stdout().lock());
            npy::write(&mut out, &picture.schema, &picture.bytes)?;
            Ok(out.flush()?)
        }
        None => {
            let layout = layout(Some(out), options.full);
            Ok(write(options, &picture, format, layout, out)?)
        }
    }
}

/// Finds out what to write, and refuses to write bytes to a terminal.
fn format(options: &Dump) -> Result<Format, Failure> {
    let by_extension = |path: &Path| match path.extension()?.to_str()? {
        "npy" => Some(Format::Npy),
        "json" => Some(Format::Json),
        _ => None,
    };
    let format = options
        .format
        .or_else(|| by_extension(options.output.as_deref()?))
        .unwrap_or(Format::Text);
    if format == Format::Npy && options.output.is_none() && io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "npy is not for a terminal; use --output FILE, or redirect".to_owned(),
        ));
    }
    Ok(format)
}

/// Copies the latest frame, and the field out of it if one is asked for.
fn take(options: &Dump) -> Result<Picture, Failure> {
    let name = &options.stream.name;
    let observer = DynStream::builder(name).allow_other_owner().observe()?;
    let schema = observer.schema().clone();
    let mut bytes = vec![0; schema.size()];
    let info = copy(&observer, &mut bytes)?;
    let Some(info) = info else {
        complain(format_args!("stream `{name}` has no frame so far"));
        return Err(Failure::Told(Exit::Found));
    };
    let (schema, bytes) = match &options.field {
        None => (schema, bytes),
        Some(path) => select::select(&schema, &bytes, path).map_err(|reason| {
            let text = format!("--field {path}: stream `{name}`: {reason}");
            Failure::Usage(units::printable(&text).into_owned())
        })?,
    };
    Ok(Picture {
        info,
        schema,
        bytes,
    })
}

/// Copies the latest frame, for as long as writers overwrite it meanwhile and somebody may wait.
fn copy(observer: &Observer<DynStream>, bytes: &mut [u8]) -> Result<Option<FrameInfo>, Failure> {
    let begun = Instant::now();
    loop {
        match observer.read_into(bytes) {
            Err(Error::Overtaken { .. }) if begun.elapsed() < PATIENCE => {}
            found => return Ok(found?),
        }
    }
}

fn write(
    options: &Dump,
    picture: &Picture,
    format: Format,
    layout: Layout,
    out: &mut impl Write,
) -> io::Result<()> {
    let value = Value::new(&picture.schema, &picture.bytes);
    match format {
        Format::Npy => npy::write(out, &picture.schema, &picture.bytes),
        Format::Json => {
            let document = Document {
                name: &options.stream.name,
                header: FrameHeader::new(picture.info),
                field: options.field.as_deref(),
                payload: picture.schema.to_string(),
                value,
            };
            serde_json::to_writer(&mut *out, &document)?;
            writeln!(out)
        }
        Format::Text => {
            let (info, quiet) = (picture.info, layout.quiet);
            writeln!(
                out,
                "{quiet}# {}, frame {}, id {}, {}, {}{quiet:#}",
                options.stream.name,
                info.count,
                info.frame_id,
                Moment::new(info.realtime_ns).date(),
                units::ago(info.age())
            )?;
            text::block(out, value, layout)
        }
    }
}

/// A frame, for programs.
#[derive(Serialize)]
struct Document<'a> {
    name: &'a StreamName,
    #[serde(flatten)]
    header: FrameHeader,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    payload: String,
    value: Value<'a>,
}

/// How text looks: on the standard output, or in a file.
fn layout(out: Option<&Output>, full: bool) -> Layout {
    let width = out.and_then(Output::width).unwrap_or(WIDTH);
    let (name, quiet) = match out {
        Some(_) => (style::FIELD, style::QUIET),
        None => (style::PLAIN, style::PLAIN),
    };
    Layout {
        width,
        full,
        name,
        quiet,
    }
}
