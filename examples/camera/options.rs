//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::picture::{Picture, RawFormat, Size};

/// Publishes pictures in a shared-memory stream, of a video file or of a scene drawn on the spot.
/// Another process reads the stream and writes one picture to a PNG file.
#[derive(Debug, Parser)]
#[command(name = "camera")]
pub(crate) struct Options {
    /// Show the video in FILE: YUV4MPEG2 (.y4m), or without a header if --raw is given
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// FILE has no header, and frames of WIDTHxHEIGHT
    #[arg(long, value_name = "WIDTHxHEIGHT", requires = "file")]
    raw: Option<Size>,
    /// How the frames of a raw FILE are written
    #[arg(long, value_enum, default_value_t = RawFormat::Rgb24, requires = "raw")]
    format: RawFormat,
    /// The size of the scene that is drawn without a file
    #[arg(
        long,
        value_name = "WIDTHxHEIGHT",
        default_value = "640x480",
        conflicts_with = "file"
    )]
    pub(crate) size: Size,
    /// End after N frames [default: 90 of the scene, all of a file]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,
    /// Show HZ frames a second, from 0.001 to 10000 [default: as the file says, or 30]
    #[arg(long = "fps", value_name = "HZ", value_parser = common::period)]
    pub(crate) period: Option<Duration>,
    /// Write a picture to FILE [default: shmstream-camera.png in the directory for temporary files]
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// Write picture N instead of the last one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) still: Option<u64>,
    /// Look at the stream of a camera that runs already, as one viewer more
    #[arg(long, value_name = "NAME", conflicts_with_all = ["file", "size", "frames", "period"])]
    pub(crate) view: Option<String>,
}

impl Options {
    /// Reads the command line, or ends the program with a message.
    pub(crate) fn parse_checked() -> Self {
        let options = Self::parse();
        if let Some(mistake) = options.mistake() {
            Self::command()
                .error(ErrorKind::ArgumentConflict, mistake)
                .exit();
        }
        options
    }

    /// Returns what the parser cannot see.
    fn mistake(&self) -> Option<String> {
        let (still, frames) = (self.still?, self.frames()?);
        (still > frames).then(|| format!("there is no picture {still} among {frames} frames"))
    }

    /// Returns after how many frames to end.
    pub(crate) fn frames(&self) -> Option<u64> {
        let scene = self.file.is_none() && self.view.is_none();
        self.frames.or(scene.then_some(90))
    }

    /// Returns what a file without a header carries.
    pub(crate) fn raw(&self) -> Option<Picture> {
        self.raw.map(|size| self.format.picture(size))
    }

    pub(crate) fn png(&self) -> PathBuf {
        self.png
            .clone()
            .unwrap_or_else(|| std::env::temp_dir().join("shmstream-camera.png"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        let words = std::iter::once("camera").chain(line.split_whitespace());
        let options = Options::try_parse_from(words).map_err(|error| error.to_string())?;
        match options.mistake() {
            Some(mistake) => Err(mistake),
            None => Ok(options),
        }
    }

    #[test]
    fn defaults_fit_the_source() {
        let scene = parse("").unwrap();
        assert_eq!((scene.frames(), scene.raw()), (Some(90), None));
        let file = parse("--file a.y4m").unwrap();
        assert_eq!((file.frames(), file.raw()), (None, None));
        let raw = parse("--file a --raw 4x2 --format gray8").unwrap().raw();
        assert_eq!(raw.map(|raw| raw.to_string()).as_deref(), Some("4x2 gray"));
    }

    #[test]
    fn mistakes_are_named() {
        for (line, mistake) in [
            ("--fast", "'--fast'"),
            ("--raw 4x2", "--file <FILE>"),
            ("--file a --raw 4", "like 640x480"),
            ("--file a --raw 0x4", "from 1 to 32768"),
            ("--file a --raw 4x2 --format bgr", "gray8, rgb24, yuv420"),
            ("--file a --format gray8", "--raw <WIDTHxHEIGHT>"),
            ("--file a --size 4x2", "cannot be used with"),
            ("--frames 0", "0 is not in"),
            ("--fps 0", "from 0.001 to 10000"),
            ("--still 91", "no picture 91 among 90 frames"),
            ("--view a --fps 3", "cannot be used with"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.contains(mistake), "{line}: {error}");
        }
    }
}
