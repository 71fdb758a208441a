//! Where pictures come from.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use shmstream::DynLoan;

use crate::options::Options;
use crate::picture::{Format, Picture};
use crate::scene::Scene;
use crate::y4m::{self, Failure, Header};

const USUAL_PERIOD: Duration = Duration::from_nanos(33_333_333);

pub(crate) struct Source {
    picture: Picture,
    period: Duration,
    kind: Kind,
}

enum Kind {
    Scene(Scene),
    File(Video),
}

/// A file of frames.
struct Video {
    path: PathBuf,
    file: BufReader<File>,
    /// Whether each frame has a line of text before it.
    headers: bool,
}

impl Source {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let Some(path) = &options.file else {
            let size = options.size;
            return Ok(Self {
                picture: Picture {
                    size,
                    format: Format::Rgb,
                },
                period: options.period.unwrap_or(USUAL_PERIOD),
                kind: Kind::Scene(Scene::new(size)),
            });
        };
        let (video, header) = Video::open(path, options.raw())?;
        Ok(Self {
            picture: header.picture,
            period: options.period.or(header.period).unwrap_or(USUAL_PERIOD),
            kind: Kind::File(video),
        })
    }

    /// Returns what all pictures are.
    pub(crate) const fn picture(&self) -> Picture {
        self.picture
    }

    /// Returns the time from one picture to the next.
    pub(crate) const fn period(&self) -> Duration {
        self.period
    }

    /// Waits until there is something to read, and says whether there is: a pipe may be silent.
    pub(crate) fn wait(&self, timeout: Duration) -> Result<bool> {
        match &self.kind {
            Kind::Scene(_) => Ok(true),
            Kind::File(video) => video.wait(timeout),
        }
    }

    /// Fills a frame with picture `number`, which counts from 1; `false` if there is none left.
    pub(crate) fn fill(&mut self, number: u64, frame: &mut DynLoan<'_>) -> Result<bool> {
        match &mut self.kind {
            Kind::Scene(scene) => {
                scene.draw(number, frame.as_mut_slice()?);
                Ok(true)
            }
            Kind::File(video) => video.fill(number, frame.bytes_mut()),
        }
    }
}

impl Video {
    fn open(path: &Path, raw: Option<Picture>) -> Result<(Self, Header)> {
        let named = |failure| match failure {
            Failure::Format(reason) => format!("{}: {reason}", path.display()),
            Failure::Io(error) => format!("{}: {error}", path.display()),
        };
        let file = File::open(path).map_err(|error| named(error.into()))?;
        let mut file = BufReader::new(file);
        let header = match raw {
            Some(picture) => Header {
                picture,
                period: None,
            },
            None => y4m::read_header(&mut file).map_err(named)?,
        };
        let path = path.to_owned();
        let headers = raw.is_none();
        let video = Self {
            path,
            file,
            headers,
        };
        Ok((video, header))
    }

    fn wait(&self, timeout: Duration) -> Result<bool> {
        if !self.file.buffer().is_empty() {
            return Ok(true);
        }
        let timeout = Timespec::try_from(timeout)?;
        let mut file = [PollFd::new(self.file.get_ref(), PollFlags::IN)];
        match poll(&mut file, Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn fill(&mut self, number: u64, frame: &mut [u8]) -> Result<bool> {
        match self.try_fill(frame) {
            Ok(more) => Ok(more),
            Err(Failure::Format(reason)) => {
                Err(format!("{}, frame {number}: {reason}", self.path.display()).into())
            }
            Err(Failure::Io(error)) => Err(format!("{}: {error}", self.path.display()).into()),
        }
    }

    fn try_fill(&mut self, frame: &mut [u8]) -> Result<bool, Failure> {
        if self.headers && !y4m::read_frame_header(&mut self.file)? {
            return Ok(false);
        }
        // Larger reads than the buffer pass it by, and go straight into the stream.
        let read = read_full(&mut self.file, frame)?;
        if read == 0 && !self.headers {
            return Ok(false);
        }
        if read < frame.len() {
            let len = frame.len();
            return Err(Failure::Format(format!(
                "the file ends after {read} of its {len} bytes"
            )));
        }
        Ok(true)
    }
}

/// Reads until a buffer is full or the file ends, and returns how much was read.
fn read_full(file: &mut impl Read, mut buffer: &mut [u8]) -> io::Result<usize> {
    let len = buffer.len();
    while !buffer.is_empty() {
        match file.read(buffer) {
            Ok(0) => break,
            Ok(read) => buffer = &mut buffer[read..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len - buffer.len())
}

#[cfg(test)]
mod tests {
    use shmstream::DynStream;

    use super::*;
    use crate::picture::{RawFormat, Size};

    /// A file for one test.
    struct Temporary(PathBuf);

    impl Temporary {
        fn new(label: &str, content: &[u8]) -> Self {
            let name = format!("shmstream-camera-{label}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::write(&path, content).unwrap();
            Self(path)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    /// Reads all frames of a video, until it ends or fails.
    fn frames(file: &Temporary, raw: Option<Picture>) -> (Vec<Vec<u8>>, Result<()>) {
        let (mut video, header) = Video::open(&file.0, raw).unwrap();
        let stream = DynStream::temporary(header.picture.schema()).unwrap();
        let mut frames = Vec::new();
        loop {
            let mut loan = stream.loan().unwrap();
            assert!(video.wait(Duration::ZERO).unwrap());
            match video.fill(frames.len() as u64 + 1, loan.bytes_mut()) {
                Ok(true) => {}
                Ok(false) => return (frames, Ok(())),
                Err(error) => return (frames, Err(error)),
            }
            loan.publish().unwrap();
            frames.push(stream.read().unwrap().unwrap().bytes().to_vec());
        }
    }

    #[test]
    fn a_video_is_read_frame_by_frame() {
        let file = Temporary::new(
            "whole",
            b"YUV4MPEG2 W2 H2 C420\nFRAME\nabcdefFRAME Ip\nghijkl",
        );
        let (frames, result) = frames(&file, None);
        assert_eq!(frames, [b"abcdef", b"ghijkl"]);
        result.unwrap();
    }

    #[test]
    fn a_video_that_breaks_off_is_read_up_to_there() {
        for (label, end, reason) in [
            (
                "short",
                "FRAME\nghi",
                "frame 2: the file ends after 3 of its 6 bytes",
            ),
            ("header", "FRA", "frame 2: `FRAME` is not where"),
            ("text", "FRAME", "frame 2: it ends"),
            (
                "empty",
                "FRAME\n",
                "frame 2: the file ends after 0 of its 6 bytes",
            ),
        ] {
            let content = format!("YUV4MPEG2 W2 H2\nFRAME\nabcdef{end}");
            let (frames, result) = frames(&Temporary::new(label, content.as_bytes()), None);
            assert_eq!(frames, [b"abcdef"]);
            let error = result.unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_video_without_headers_has_frames_and_nothing_else() {
        let picture = RawFormat::Rgb24.picture(Size::new(2, 1).unwrap());
        let (whole, result) = frames(&Temporary::new("raw", b"abcdefghijkl"), Some(picture));
        assert_eq!(whole, [b"abcdef", b"ghijkl"]);
        result.unwrap();
        let (part, result) = frames(&Temporary::new("raw-short", b"abcdefghi"), Some(picture));
        assert_eq!(part, [b"abcdef"]);
        let error = result.unwrap_err().to_string();
        assert!(error.contains("after 3 of its 6 bytes"), "{error}");
    }
}
