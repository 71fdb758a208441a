//! Headers of YUV4MPEG2 files.
//!
//! The format is uncompressed: a line of text about all frames, then for each frame a line that begins
//! with `FRAME` and the planes. What a frame is made of goes from the file into shared memory in one
//! read, so all that is parsed here is the text.

use std::io::{self, BufRead, Read};
use std::time::Duration;

use crate::color::{Coding, Range};
use crate::picture::{Chroma, Format, Picture, Size};

/// The longest line of text that counts as a header.
const MAX_LINE: u64 = 4096;

/// What the first line says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) picture: Picture,
    /// The time from one frame to the next, if the file knows.
    pub(crate) period: Option<Duration>,
}

/// Why a file cannot be shown.
#[derive(Debug)]
pub(crate) enum Failure {
    Format(String),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn refuse<T>(reason: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Format(reason.into()))
}

/// Reads the first line of a file.
pub(crate) fn read_header(file: &mut impl BufRead) -> Result<Header, Failure> {
    let Some(line) = read_line(file)? else {
        return refuse("it is empty");
    };
    let Some(parameters) = line.strip_prefix("YUV4MPEG2") else {
        return refuse("it is no YUV4MPEG2 file; for one without a header give --raw WIDTHxHEIGHT");
    };
    if !(parameters.is_empty() || parameters.starts_with(' ')) {
        return refuse("it is no YUV4MPEG2 file");
    }
    let (mut width, mut height, mut color, mut period) = (None, None, "420", None);
    let mut range = None;
    for parameter in parameters
        .split(' ')
        .filter(|parameter| !parameter.is_empty())
    {
        let value = parameter.get(1..).unwrap_or_default();
        match parameter.as_bytes()[0] {
            b'W' => width = Some(side(parameter, value)?),
            b'H' => height = Some(side(parameter, value)?),
            b'C' => color = value,
            b'F' => period = frame_period(parameter, value)?,
            b'X' => match value {
                "COLORRANGE=FULL" => range = Some(Range::Full),
                "COLORRANGE=LIMITED" => range = Some(Range::Limited),
                _ => {}
            },
            // Interlacing and the shape of pixels make no difference here; what else may come later
            // is not known.
            _ => {}
        }
    }
    let (Some(width), Some(height)) = (width, height) else {
        return refuse("its header lacks the width or the height (`W640 H480`)");
    };
    let Some(size) = Size::new(width, height) else {
        return refuse(format!(
            "its frames of {width}x{height} are too large or empty"
        ));
    };
    let mut format = color_format(color, size)?;
    if let (Format::Yuv(_, coding), Some(range)) = (&mut format, range) {
        *coding = coding.with_range(range);
    }
    Ok(Header {
        picture: Picture { size, format },
        period,
    })
}

/// Reads the line before a frame; `false` at the end of the file.
pub(crate) fn read_frame_header(file: &mut impl BufRead) -> Result<bool, Failure> {
    match read_line(file)? {
        None => Ok(false),
        Some(line) if line == "FRAME" || line.starts_with("FRAME ") => Ok(true),
        Some(_) => refuse("`FRAME` is not where a frame should begin"),
    }
}

/// Reads a line without its end, or `None` at the end of the file.
fn read_line(file: &mut impl BufRead) -> Result<Option<String>, Failure> {
    let mut line = Vec::new();
    file.take(MAX_LINE).read_until(b'\n', &mut line)?;
    let text = match line.strip_suffix(b"\n") {
        Some(text) => text,
        None if line.is_empty() => return Ok(None),
        None if line.starts_with(b"YUV4MPEG2") || line.starts_with(b"FRAME") => {
            return refuse("it ends, or goes on without an end, in the middle of a header");
        }
        None => &line,
    };
    // Whatever is not text is no header, and found out by what it does not begin with.
    Ok(Some(String::from_utf8_lossy(text).into_owned()))
}

fn side(parameter: &str, value: &str) -> Result<usize, Failure> {
    match value.parse() {
        Ok(side) => Ok(side),
        Err(_) => refuse(format!("its header has `{parameter}`, which is no size")),
    }
}

/// Reads a rate such as `30000:1001`; `0:0` stands for an unknown one.
fn frame_period(parameter: &str, value: &str) -> Result<Option<Duration>, Failure> {
    let rate = value.split_once(':').and_then(|(frames, seconds)| {
        let number = |text: &str| text.parse::<u32>().ok();
        Some((number(frames)?, number(seconds)?))
    });
    match rate {
        None => refuse(format!(
            "its header has `{parameter}`, which is no frame rate"
        )),
        Some((0, _) | (_, 0)) => Ok(None),
        Some((frames, seconds)) => Ok(Some(Duration::from_secs(seconds.into()) / frames)),
    }
}

/// Reads a colour space such as `420jpeg`. Where exactly chroma samples lie makes no difference here.
fn color_format(color: &str, size: Size) -> Result<Format, Failure> {
    let chroma = match color {
        "mono" => return Ok(Format::Gray),
        "420" | "420jpeg" | "420mpeg2" | "420paldv" => Chroma::HALF,
        "411" => Chroma::QUARTER_ACROSS,
        "422" => Chroma::HALF_ACROSS,
        "444" => Chroma::FULL,
        _ => {
            return refuse(format!(
                "its colour space `{color}` is none of those that are shown here: mono, 420, \
                 420jpeg, 420mpeg2, 420paldv, 411, 422, 444"
            ));
        }
    };
    Ok(Format::Yuv(chroma, Coding::usual(size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Result<Header, String> {
        read_header(&mut text.as_bytes()).map_err(|failure| match failure {
            Failure::Format(reason) => reason,
            Failure::Io(error) => error.to_string(),
        })
    }

    fn format(color: &str) -> Format {
        let text = format!("YUV4MPEG2 W8 H4 F25:1 {color}\n");
        header(&text).unwrap().picture.format
    }

    #[test]
    fn a_header_says_size_rate_and_colours() {
        let text = "YUV4MPEG2 W704 H576 F30000:1001 Ip A128:117 C420mpeg2 XYSCSS=420MPEG2\nFRAME\n";
        let Header { picture, period } = header(text).unwrap();
        assert_eq!(picture.to_string(), "704x576 YUV 4:2:0");
        assert_eq!(period, Some(Duration::from_nanos(33_366_666)));
    }

    #[test]
    fn colour_spaces_are_told_apart() {
        let [limited, _, full, _] = Coding::ALL;
        for color in ["", "C420", "C420jpeg", "C420mpeg2", "C420paldv"] {
            assert_eq!(format(color), Format::Yuv(Chroma::HALF, limited), "{color}");
        }
        assert_eq!(format("C444"), Format::Yuv(Chroma::FULL, limited));
        assert_eq!(format("C422"), Format::Yuv(Chroma::HALF_ACROSS, limited));
        assert_eq!(format("C411"), Format::Yuv(Chroma::QUARTER_ACROSS, limited));
        assert_eq!(format("Cmono"), Format::Gray);
        let ranged = format("C420jpeg XCOLORRANGE=FULL");
        assert_eq!(ranged, Format::Yuv(Chroma::HALF, full));
        let error = header("YUV4MPEG2 W8 H4 C420p10\n").unwrap_err();
        assert!(error.contains("`420p10`"), "{error}");
    }

    #[test]
    fn order_blanks_and_unknown_parameters_make_no_difference() {
        let plain = header("YUV4MPEG2 W8 H4\n").unwrap();
        assert_eq!(plain.period, None);
        let odd = "YUV4MPEG2  H4 Zwhatever X XCOMMENT \u{e9}F0:0 F0:0 W8 \n";
        assert_eq!(header(odd), Ok(plain));
    }

    #[test]
    fn headers_that_make_no_sense_are_refused() {
        for (text, reason) in [
            ("", "empty"),
            ("RIFF....AVI LIST", "--raw"),
            ("\0\0\0\n", "--raw"),
            ("YUV4MPEG W8 H4\n", "no YUV4MPEG2"),
            ("YUV4MPEG2x W8 H4\n", "no YUV4MPEG2"),
            ("YUV4MPEG2 W8 H4", "in the middle of a header"),
            ("YUV4MPEG2 W8\n", "lacks"),
            ("YUV4MPEG2 W8 Hx\n", "`Hx`"),
            ("YUV4MPEG2 W8 H-4\n", "`H-4`"),
            ("YUV4MPEG2 W8 H99999999999999999999\n", "no size"),
            ("YUV4MPEG2 W0 H4\n", "0x4"),
            ("YUV4MPEG2 W32769 H4\n", "too large"),
            ("YUV4MPEG2 W8 H4 F25\n", "`F25`"),
            ("YUV4MPEG2 W8 H4 F-25:1\n", "`F-25:1`"),
            ("YUV4MPEG2 W8 H4 C\n", "``"),
        ] {
            let error = header(text).expect_err(text);
            assert!(error.contains(reason), "{text:?}: {error}");
        }
        let endless = format!("YUV4MPEG2 W8 H4 X{}\n", "x".repeat(5000));
        assert!(header(&endless).unwrap_err().contains("without an end"));
    }

    #[test]
    fn frames_have_a_line_of_their_own() {
        let read = |text: &str| read_frame_header(&mut text.as_bytes());
        assert!(matches!(read(""), Ok(false)));
        assert!(matches!(read("FRAME\nabc"), Ok(true)));
        assert!(matches!(read("FRAME Ip\nabc"), Ok(true)));
        for text in ["FRAM\n", "FRAMES\n", "abc", "\n", "FRAME", "FRAME Ip"] {
            assert!(matches!(read(text), Err(Failure::Format(_))), "{text:?}");
        }
    }
}
