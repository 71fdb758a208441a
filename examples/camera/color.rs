//! From YUV to RGB.

use crate::picture::Size;

/// How YUV samples make colours: by which standard, and over which range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coding {
    standard: Standard,
    range: Range,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standard {
    /// Of standard definition.
    Bt601,
    /// Of high definition.
    Bt709,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Range {
    /// Luma from 16 to 235, as video has it.
    Limited,
    /// From 0 to 255, as JPEG has it.
    Full,
}

impl Coding {
    pub(crate) const ALL: [Self; 4] = [
        Self::new(Standard::Bt601, Range::Limited),
        Self::new(Standard::Bt709, Range::Limited),
        Self::new(Standard::Bt601, Range::Full),
        Self::new(Standard::Bt709, Range::Full),
    ];

    const fn new(standard: Standard, range: Range) -> Self {
        Self { standard, range }
    }

    /// Returns the coding of a video that does not say: players go by its size.
    pub(crate) const fn usual(size: Size) -> Self {
        let standard = match size.height {
            ..=576 => Standard::Bt601,
            _ => Standard::Bt709,
        };
        Self::new(standard, Range::Limited)
    }

    pub(crate) const fn with_range(self, range: Range) -> Self {
        Self { range, ..self }
    }

    /// Returns the name of the struct in the schema.
    pub(crate) const fn name(self) -> &'static str {
        match (self.standard, self.range) {
            (Standard::Bt601, Range::Limited) => "Yuv601",
            (Standard::Bt709, Range::Limited) => "Yuv709",
            (Standard::Bt601, Range::Full) => "FullYuv601",
            (Standard::Bt709, Range::Full) => "FullYuv709",
        }
    }

    /// Returns the colour of a pixel.
    pub(crate) fn rgb(self, y: u8, u: u8, v: u8) -> [u8; 3] {
        // In units of 1/65536.
        let [luma, red_v, green_u, green_v, blue_u] = match (self.standard, self.range) {
            (Standard::Bt601, Range::Limited) => [76_309, 104_597, 25_675, 53_279, 132_201],
            (Standard::Bt709, Range::Limited) => [76_309, 117_489, 13_975, 34_925, 138_438],
            (Standard::Bt601, Range::Full) => [65_536, 91_881, 22_554, 46_802, 116_130],
            (Standard::Bt709, Range::Full) => [65_536, 103_206, 12_276, 30_679, 121_609],
        };
        let black = match self.range {
            Range::Limited => 16,
            Range::Full => 0,
        };
        let y = luma * (i32::from(y) - black) + 32_768;
        let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
        [y + red_v * v, y - green_u * u - green_v * v, y + blue_u * u]
            .map(|sum| u8::try_from((sum >> 16).clamp(0, 255)).unwrap_or(u8::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grays_and_primaries_come_out_right() {
        let [sd, hd, full, _] = Coding::ALL;
        assert_eq!(sd.rgb(16, 128, 128), [0; 3]);
        assert_eq!(hd.rgb(235, 128, 128), [255; 3]);
        assert_eq!(full.rgb(77, 128, 128), [77; 3]);
        // By the standards: pure red, and pure blue.
        let near = |rgb: [u8; 3], wanted: [u8; 3]| {
            let far = rgb.iter().zip(wanted).map(|(a, b)| a.abs_diff(b)).max();
            assert!(far <= Some(2), "{rgb:?} instead of {wanted:?}");
        };
        near(sd.rgb(81, 90, 240), [255, 0, 0]);
        near(sd.rgb(41, 240, 110), [0, 0, 255]);
        near(hd.rgb(63, 102, 240), [255, 0, 0]);
        near(full.rgb(76, 85, 255), [254, 0, 0]);
        // And beyond what there is.
        assert_eq!(sd.rgb(255, 128, 255)[0], 255);
        assert_eq!(sd.rgb(0, 128, 0)[0], 0);
    }
}
