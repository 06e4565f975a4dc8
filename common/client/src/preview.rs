//! A small picture of an image that is sent, for who is asked to take it (RFC 5547, 8.8). Whoever made the image may mean
//! harm: it is decoded within bounds of sides and memory, and what does not fit them has no picture. A received picture is
//! not decoded here.
use std::io::{BufRead, Cursor, Seek};
use std::path::Path;

use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageReader, Limits};

use crate::device::Icon;

/// Pixels of a side of the picture.
const SIDE_MAX: u32 = 128;
/// Pixels of a side of the image. A camera's are well below.
const IMAGE_SIDE_MAX: u32 = 16_384;
/// Octets of memory that decoding may take: an image of 40 million pixels.
const DECODE_OCTETS_MAX: u64 = 160 << 20;
/// Of 100: small rather than beautiful.
const QUALITY: u8 = 60;

impl Icon {
    /// A picture of the image in a file; `None` if it is none, or takes more than is given to it. It takes a while.
    pub fn of_file(path: &Path) -> Option<Self> {
        let file = std::fs::File::open(path).ok()?;
        Self::of(std::io::BufReader::new(file))
    }

    fn of(image: impl BufRead + Seek) -> Option<Self> {
        let mut reader = ImageReader::new(image).with_guessed_format().ok()?;
        let mut limits = Limits::default();
        limits.max_image_width = Some(IMAGE_SIDE_MAX);
        limits.max_image_height = Some(IMAGE_SIDE_MAX);
        limits.max_alloc = Some(DECODE_OCTETS_MAX);
        reader.limits(limits);
        let image =
            reader.decode().inspect_err(|error| tracing::debug!(%error, "no picture")).ok()?;
        let small = DynamicImage::ImageRgb8(image.thumbnail(SIDE_MAX, SIDE_MAX).to_rgb8());
        let mut content = Cursor::new(Vec::new());
        small.write_with_encoder(JpegEncoder::new_with_quality(&mut content, QUALITY)).ok()?;
        let content = Bytes::from(content.into_inner());
        Some(Self { media_type: "image/jpeg".to_owned(), content })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut png = Cursor::new(Vec::new());
        let image = image::RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([x, y, x ^ y].map(|value| value.to_le_bytes()[0]))
        });
        DynamicImage::ImageRgb8(image).write_to(&mut png, image::ImageFormat::Png).unwrap();
        png.into_inner()
    }

    #[test]
    fn an_image_has_a_picture_that_is_small_and_keeps_its_shape() {
        let icon = Icon::of(Cursor::new(png(1200, 600))).unwrap();

        assert_eq!(icon.media_type, "image/jpeg");
        assert!(icon.content.len() < 16 << 10, "{} octets", icon.content.len());
        let picture = image::load_from_memory(&icon.content).unwrap();
        assert_eq!((picture.width(), picture.height()), (128, 64));
    }

    #[test]
    fn what_is_no_image_or_is_broken_has_no_picture() {
        let mut broken = png(100, 100);
        broken.truncate(200);
        for content in [Vec::new(), b"hello".to_vec(), broken, b"\x89PNG\r\n\x1a\n".to_vec()] {
            assert_eq!(Icon::of(Cursor::new(content)), None);
        }
    }

    /// A few octets that say that they are a thousand million pixels.
    #[test]
    fn an_image_that_would_fill_the_memory_has_no_picture() {
        for (width, height) in [(65_535, 65_535), (1, 60_000), (16_000, 16_000)] {
            let mut bomb = png(1, 1);
            bomb.splice(16..20, u32::to_be_bytes(width));
            bomb.splice(20..24, u32::to_be_bytes(height));
            let sum = crc(&bomb[12..29]);
            bomb.splice(29..33, sum.to_be_bytes());
            assert_eq!(Icon::of(Cursor::new(bomb)), None, "{width} x {height}");
        }
    }

    /// The checksum of a part of a PNG.
    fn crc(octets: &[u8]) -> u32 {
        let next = |sum: u32, octet: &u8| {
            (0..8).fold(sum ^ u32::from(*octet), |sum, _| {
                if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 }
            })
        };
        !octets.iter().fold(u32::MAX, next)
    }
}
