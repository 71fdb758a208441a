//! A picture as a PNG file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use common::Result;
use png::{BitDepth, ColorType, Encoder};
use shmstream::DynFrame;

use crate::color::Coding;
use crate::picture::{Chroma, Format, Picture};

/// Writes a frame to a file, compressed from where it lies in shared memory.
pub(crate) fn write_png(path: &Path, picture: Picture, frame: &DynFrame<'_>) -> Result<()> {
    try_write(path, picture, frame).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn try_write(path: &Path, picture: Picture, frame: &DynFrame<'_>) -> Result<()> {
    let file = BufWriter::new(File::create(path)?);
    let size = picture.size;
    let mut encoder = Encoder::new(file, size.width.try_into()?, size.height.try_into()?);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_color(match picture.format {
        Format::Gray => ColorType::Grayscale,
        Format::Rgb | Format::Yuv(..) => ColorType::Rgb,
    });
    encoder.add_text_chunk(
        "Title".to_owned(),
        format!("frame {}", frame.info().frame_id),
    )?;
    let mut image = encoder.write_header()?;
    let mut rows = image.stream_writer()?;
    match picture.format {
        Format::Gray | Format::Rgb => rows.write_all(frame.bytes())?,
        Format::Yuv(chroma, coding) => write_yuv(&mut rows, picture, chroma, coding, frame)?,
    }
    rows.finish()?;
    image.finish()?;
    Ok(())
}

fn write_yuv(
    out: &mut impl Write,
    picture: Picture,
    chroma: Chroma,
    coding: Coding,
    frame: &DynFrame<'_>,
) -> Result<()> {
    let [y, u, v] = [frame.field("y")?, frame.field("u")?, frame.field("v")?];
    let [y, u, v] = [
        y.as_slice::<u8>()?,
        u.as_slice::<u8>()?,
        v.as_slice::<u8>()?,
    ];
    let (width, small) = (picture.size.width, chroma.plane(picture.size).width);
    let mut line = Vec::with_capacity(3 * width);
    for (row, y) in y.chunks_exact(width).enumerate() {
        let start = row / chroma.down * small;
        line.clear();
        line.extend(y.iter().enumerate().flat_map(|(column, &y)| {
            let sample = start + column / chroma.across;
            coding.rgb(y, u[sample], v[sample])
        }));
        out.write_all(&line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use shmstream::DynStream;

    use super::*;
    use crate::picture::Size;

    /// Writes a frame to a file and reads that back.
    fn round_trip(label: &str, format: Format, size: (usize, usize), bytes: &[u8]) -> Vec<u8> {
        let size = Size::new(size.0, size.1).unwrap();
        let picture = Picture { size, format };
        let stream = DynStream::temporary(picture.schema()).unwrap();
        stream.write_bytes(bytes).unwrap();
        let name = format!("shmstream-still-{label}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        write_png(&path, picture, &stream.read().unwrap().unwrap()).unwrap();
        let file = std::io::BufReader::new(File::open(&path).unwrap());
        let mut image = png::Decoder::new(file).read_info().unwrap();
        let mut pixels = vec![0; image.output_buffer_size().unwrap()];
        image.next_frame(&mut pixels).unwrap();
        std::fs::remove_file(&path).unwrap();
        pixels
    }

    #[test]
    fn grays_and_colours_are_written_as_they_are() {
        let gray = [0, 50, 100, 150, 200, 255];
        assert_eq!(round_trip("gray", Format::Gray, (3, 2), &gray), gray);
        assert_eq!(round_trip("rgb", Format::Rgb, (2, 1), &gray), gray);
    }

    #[test]
    fn chroma_samples_belong_to_the_pixels_around_them() {
        let coding = Coding::ALL[0];
        // An odd width: the last column has chroma samples of its own.
        let yuv = [
            90, 90, 90, 90, 90, 90, 90, 90, 90, // Y, 3 by 3
            128, 240, 90, 128, // U, 2 by 2
            128, 110, 240, 128, // V
        ];
        let pixels = round_trip("yuv", Format::Yuv(Chroma::HALF, coding), (3, 3), &yuv);
        let gray = coding.rgb(90, 128, 128);
        let (blue, red) = (coding.rgb(90, 240, 110), coding.rgb(90, 90, 240));
        let wanted = [gray, gray, blue, gray, gray, blue, red, red, gray];
        assert_eq!(pixels.as_chunks::<3>().0, wanted);
    }
}
