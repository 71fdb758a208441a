//! A camera whose pictures never are copied between processes.
//!
//! One process writes each picture where it will be read: a video file is read straight into a slot of
//! the stream on loan, and the scene that stands in for a file is drawn there. It starts a second
//! process that looks at each picture in place, and writes one to a PNG file while the camera goes on.
//!
//! The size and the format of the pictures are known at run time only, so both use `DynStream`: the
//! camera makes a schema of them, and the viewer finds it in the stream.
//!
//! ```sh
//! cargo run --release --example camera
//! cargo run --release --example camera -- --file clip.y4m --png clip.png
//! ffmpeg -i clip.mp4 -f yuv4mpegpipe - | cargo run --release --example camera -- --file /dev/stdin
//! ```
//!
//! See `camera --help` for more, and start another viewer with `--view` and the name that the first
//! line of the output gives.

mod color;
mod options;
mod picture;
mod record;
mod scene;
mod source;
mod still;
mod view;
mod y4m;

use std::process::ExitCode;

use crate::options::Options;

fn main() -> ExitCode {
    let options = Options::parse_checked();
    let result = match &options.view {
        Some(name) => view::view(name, &options),
        None => record::record(&options),
    };
    common::report("camera", result)
}
