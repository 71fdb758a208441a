//! Looking into a stream of unknown type: what it is, how it is, and what its latest frame holds.
//!
//! ```sh
//! cargo run --release --example inspect              # makes a stream of its own to look into
//! cargo run --release --example inspect -- camera    # looks into a stream by its name
//! ```
//!
//! The program knows no payload. It maps the stream for reading only, so it needs no permission to
//! write and disturbs nobody.

use std::process::ExitCode;

use clap::Parser;
use shmstream::{DynStream, Item, Schema, ShmPayload, Stream, View};

/// Describes a stream and the fields of its latest frame.
#[derive(Debug, Parser)]
#[command(name = "inspect")]
struct Options {
    /// The stream; without one, a stream that is made for the occasion
    name: Option<String>,
}

/// How many values of a field are shown.
const VALUES: usize = 6;

fn main() -> ExitCode {
    let result = match Options::parse().name {
        Some(name) => inspect(&name),
        None => inspect_demo(),
    };
    common::report("inspect", result)
}

fn inspect(name: &str) -> common::Result<()> {
    let observer = DynStream::builder(name).allow_other_owner().observe()?;
    common::line(format_args!("{}", observer.status()?))?;
    let Some(frame) = observer.read()? else {
        return common::line(format_args!("no frame so far"));
    };
    let info = frame.info();
    common::line(format_args!(
        "\nframe {}, frame_id {}, {:.1?} old:",
        info.count,
        info.frame_id,
        info.age()
    ))?;
    show("", &frame.view(), frame.schema(), 1)
}

/// Writes a line for each field, and for the fields inside of it.
fn show(path: &str, view: &View<'_>, schema: &Schema, depth: usize) -> common::Result<()> {
    let indent = "  ".repeat(depth);
    let label = if path.is_empty() { "payload" } else { path };
    match view.item() {
        Item::Scalar(dtype) => {
            let values: Vec<_> = view
                .scalars()?
                .take(VALUES)
                .map(|value| value.to_string())
                .collect();
            let more = if view.len() > VALUES { ", …" } else { "" };
            let shape = view.shape();
            common::line(format_args!(
                "{indent}{label}: {dtype} {shape:?} = {}{more}",
                values.join(", ")
            ))
        }
        Item::Struct(structure) => {
            let shape = view.shape();
            common::line(format_args!(
                "{indent}{label}: {} {shape:?}",
                structure.name()
            ))?;
            for field in schema.fields() {
                let path = match path {
                    "" => field.name().to_owned(),
                    path => format!("{path}.{}", field.name()),
                };
                show(&path, &view.field(field.name())?, field.schema(), depth + 1)?;
            }
            Ok(())
        }
    }
}

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Pose {
    position: [f64; 3],
    attitude: [f64; 4],
}

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Robot {
    pose: Pose,
    joints: [f32; 6],
    battery: f32,
    state: u32,
}

/// Makes a stream as any other program would, and looks into it as if it were unknown.
fn inspect_demo() -> common::Result<()> {
    let name = format!("inspect-{}", std::process::id());
    let stream = Stream::<Robot, 2>::builder(&name)
        .history(4)
        .temporary()
        .create()?;
    let robot = |x: f64| Robot {
        pose: Pose {
            position: [x, 2.0, 0.5],
            attitude: [1.0, 0.0, 0.0, 0.0],
        },
        joints: [0.0, 0.5, -0.5, 1.0, 0.25, 0.0],
        battery: 24.1,
        state: 3,
    };
    stream.write_with_id(41, &[robot(1.0), robot(7.5)])?;
    inspect(&name)
}
