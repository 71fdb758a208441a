//! What a picture is made of, and how a schema says so.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use shmstream::{DType, Schema};

use crate::color::Coding;

const MAX_SIDE: usize = 32_768;

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// How pixels are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One byte each.
    Gray,
    /// Red, green, blue.
    Rgb,
    /// A plane of luma and two of chroma, which may have one sample for several pixels.
    Yuv(Chroma, Coding),
}

/// For how many pixels a sample of chroma stands, in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chroma {
    pub(crate) across: usize,
    pub(crate) down: usize,
}

/// What all frames of a stream are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) size: Size,
    pub(crate) format: Format,
}

/// The formats that a file without a header may have.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RawFormat {
    /// One byte a pixel
    Gray8,
    /// Three bytes a pixel: red, green, blue
    Rgb24,
    /// A plane Y, and planes U and V of half its width and height
    Yuv420,
}

impl Chroma {
    pub(crate) const FULL: Self = Self { across: 1, down: 1 };
    pub(crate) const HALF_ACROSS: Self = Self { across: 2, down: 1 };
    pub(crate) const QUARTER_ACROSS: Self = Self { across: 4, down: 1 };
    pub(crate) const HALF: Self = Self { across: 2, down: 2 };

    const ALL: [Self; 4] = [
        Self::FULL,
        Self::HALF_ACROSS,
        Self::QUARTER_ACROSS,
        Self::HALF,
    ];

    /// Returns the size of a plane of chroma.
    pub(crate) const fn plane(self, size: Size) -> Size {
        Size {
            width: size.width.div_ceil(self.across),
            height: size.height.div_ceil(self.down),
        }
    }
}

impl RawFormat {
    pub(crate) fn picture(self, size: Size) -> Picture {
        let format = match self {
            Self::Gray8 => Format::Gray,
            Self::Rgb24 => Format::Rgb,
            Self::Yuv420 => Format::Yuv(Chroma::HALF, Coding::usual(size)),
        };
        Picture { size, format }
    }
}

impl Picture {
    /// Returns the schema of a frame.
    ///
    /// Samples that lie side by side are a tensor, as an array library would have them; planes are
    /// the fields of a struct, whose name says how they make colours.
    pub(crate) fn schema(self) -> Schema {
        let plane = |Size { width, height }| Schema::tensor(DType::U8, &[height, width]);
        match self.format {
            Format::Gray => plane(self.size),
            Format::Rgb => Schema::tensor(DType::U8, &[self.size.height, self.size.width, 3]),
            Format::Yuv(chroma, coding) => {
                let small = plane(chroma.plane(self.size));
                let planes = [("y", plane(self.size)), ("u", small.clone()), ("v", small)];
                // Planes of bytes need no padding, the one thing that is refused.
                Schema::structure_of(coding.name(), planes).expect("a struct without padding")
            }
        }
    }

    /// Returns what the frames of a stream are, or `None` if they are no pictures.
    pub(crate) fn of(schema: &Schema) -> Option<Self> {
        if let Some(dtype) = schema.dtype() {
            let (size, format) = match *schema.shape() {
                [height, width] => (Size::new(width, height)?, Format::Gray),
                [height, width, 3] => (Size::new(width, height)?, Format::Rgb),
                _ => return None,
            };
            return (dtype == DType::U8).then_some(Self { size, format });
        }
        let [y, u, _] = schema.fields() else {
            return None;
        };
        let &[height, width] = y.schema().shape() else {
            return None;
        };
        let size = Size::new(width, height)?;
        let chroma = |chroma: &&Chroma| {
            let plane = chroma.plane(size);
            u.schema().shape() == [plane.height, plane.width]
        };
        let chroma = *Chroma::ALL.iter().find(chroma)?;
        // The rest is right if this picture has the same schema.
        Coding::ALL
            .map(|coding| Self {
                size,
                format: Format::Yuv(chroma, coding),
            })
            .into_iter()
            .find(|picture| picture.schema().array(1) == *schema)
    }
}

impl Size {
    /// Returns a size that a picture can have.
    pub(crate) fn new(width: usize, height: usize) -> Option<Self> {
        let sides = 1..=MAX_SIDE;
        (sides.contains(&width) && sides.contains(&height)).then_some(Self { width, height })
    }

    pub(crate) const fn pixels(self) -> usize {
        self.width * self.height
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (width, height) = text.split_once('x').ok_or("it needs a size like 640x480")?;
        let side = |text: &str| text.parse().map_err(|_| "it needs a size like 640x480");
        Self::new(side(width)?, side(height)?)
            .ok_or_else(|| format!("width and height go from 1 to {MAX_SIDE}"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = match self.format {
            Format::Gray => "gray",
            Format::Rgb => "RGB",
            Format::Yuv(Chroma::FULL, _) => "YUV 4:4:4",
            Format::Yuv(Chroma::HALF_ACROSS, _) => "YUV 4:2:2",
            Format::Yuv(Chroma::QUARTER_ACROSS, _) => "YUV 4:1:1",
            Format::Yuv(_, _) => "YUV 4:2:0",
        };
        write!(f, "{} {format}", self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_says_what_the_picture_is() {
        let size = Size::new(7, 5).unwrap();
        let yuv = Chroma::ALL
            .iter()
            .flat_map(|&chroma| Coding::ALL.map(|coding| Format::Yuv(chroma, coding)));
        for format in [Format::Gray, Format::Rgb].into_iter().chain(yuv) {
            let picture = Picture { size, format };
            let stream = shmstream::DynStream::temporary(picture.schema()).unwrap();
            assert_eq!(Picture::of(stream.schema()), Some(picture));
            let planes = match format {
                Format::Gray => 35,
                Format::Rgb => 105,
                Format::Yuv(chroma, _) => 35 + 2 * chroma.plane(size).pixels(),
            };
            assert_eq!(stream.frame_size(), planes);
        }
    }

    #[test]
    fn other_streams_are_no_pictures() {
        for text in [
            "[[f32; 4]; 4]",
            "[u8; 4]",
            "[[[u8; 4]; 4]; 4]",
            "[Yuv601 { y: [[u8; 4]; 4], u: [[u8; 2]; 2] }; 1]",
            "[Yuv601 { y: [[u8; 4]; 4], u: [[u8; 2]; 2], v: [[u8; 2]; 3] }; 1]",
            "[Imu { y: [[u8; 4]; 4], u: [[u8; 2]; 2], v: [[u8; 2]; 2] }; 1]",
            "[Yuv601 { y: [[u8; 4]; 4], u: [[u8; 2]; 2], v: [[u8; 2]; 2] }; 2]",
        ] {
            assert_eq!(Picture::of(&text.parse().unwrap()), None, "{text}");
        }
        let right = "[Yuv601 { y: [[u8; 4]; 4], u: [[u8; 2]; 2], v: [[u8; 2]; 2] }; 1]";
        assert!(Picture::of(&right.parse().unwrap()).is_some());
    }
}
