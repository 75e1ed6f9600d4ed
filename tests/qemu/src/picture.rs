//! Pictures of the screen.

use std::fs::{self, File};
use std::path::Path;

/// A difference that the eye does not see: some screens have fewer bits.
const NEAR: u8 = 24;

/// Red, green and blue of each pixel.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// Columns and rows.
    pub size: (usize, usize),
    /// Three bytes a pixel.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// Reads what QEMU dumps.
    pub fn of_ppm(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(b"P6\n")?;
        let (size, rest) = line(rest)?;
        let (most, pixels) = line(rest)?;
        let (width, height) = size.split_once(' ')?;
        let size = (width.parse().ok()?, height.parse().ok()?);
        let length = usize::checked_mul(size.0, size.1)?.checked_mul(3)?;
        (most == "255" && length > 0 && pixels.len() == length).then(|| Self {
            size,
            pixels: pixels.to_vec(),
        })
    }

    /// The same of numbers `0xRRGGBB`.
    pub fn of_numbers(numbers: &[u32], size: (usize, usize)) -> Self {
        let pixels = numbers
            .iter()
            .flat_map(|number| {
                let [_, red, green, blue] = number.to_be_bytes();
                [red, green, blue]
            })
            .collect();
        Self { size, pixels }
    }

    fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.pixels.chunks_exact(3)
    }

    /// How much of it is as in the other, from 0 to 1; counted are the pixels for which `counts` holds.
    fn share(&self, other: &Self, counts: impl Fn(usize) -> bool) -> f64 {
        if self.size != other.size {
            return 0.0;
        }
        let (mut all, mut same) = (0_u32, 0_u32);
        for (index, (own, others)) in self.each().zip(other.each()).enumerate() {
            if counts(index) {
                all += 1;
                same += u32::from(near(own, others));
            }
        }
        if all == 0 {
            1.0
        } else {
            f64::from(same) / f64::from(all)
        }
    }

    /// How much of it is as in the other, from 0 to 1.
    pub fn likeness(&self, other: &Self) -> f64 {
        self.share(other, |_| true)
    }

    /// How many pixels differ from the other's, of those in the columns and rows for which `counts` holds.
    pub fn changed(&self, other: &Self, counts: impl Fn(usize, usize) -> bool) -> usize {
        if self.size != other.size {
            return self.size.0 * self.size.1;
        }
        let differs = |(index, (own, others)): (usize, (&[u8], &[u8]))| {
            !near(own, others) && counts(index % self.size.0, index / self.size.0)
        };
        let pairs = self.each().zip(other.each()).enumerate();
        pairs.filter(|&pair| differs(pair)).count()
    }

    /// The same as `likeness`, only where `before` and `other` differ.
    pub fn likeness_where_changed(&self, before: &Self, other: &Self) -> f64 {
        let pixel = |picture: &Self, index: usize| picture.pixels[index * 3..][..3].to_vec();
        if before.size != other.size {
            return self.likeness(other);
        }
        self.share(other, |index| {
            !near(&pixel(before, index), &pixel(other, index))
        })
    }

    /// Keeps it as a PNG.
    pub fn save(&self, path: &Path) -> Result<(), String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| failed(&error))?;
        }
        let file = File::create(path).map_err(|error| failed(&error))?;
        let side = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let mut encoder = png::Encoder::new(file, side(self.size.0), side(self.size.1));
        encoder.set_color(png::ColorType::Rgb);
        encoder
            .write_header()
            .and_then(|mut writer| writer.write_image_data(&self.pixels))
            .map_err(|error| failed(&error))
    }
}

fn near(one: &[u8], other: &[u8]) -> bool {
    one.iter()
        .zip(other)
        .all(|(one, other)| one.abs_diff(*other) <= NEAR)
}

/// A line of text, and the bytes after it.
fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().take(32).position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_read_and_a_damaged_one_is_not() {
        let read = Picture::of_ppm(b"P6\n2 1\n255\nabcxyz");
        assert!(read.is_some_and(|read| read.size == (2, 1) && read.pixels == b"abcxyz"));
        for damaged in [
            &b"P6\n2 1\n255\nabcxy"[..],
            b"P5\n2 1\n255\nabcxyz",
            b"P6\n0 1\n255\n",
            b"P6\n-2 1\n255\nabcxyz",
            b"P6\n9999999999999 9999999999999\n255\n",
            b"P6\n2 1",
            b"",
        ] {
            assert!(Picture::of_ppm(damaged).is_none());
        }
    }

    #[test]
    fn likeness_counts_pixels() {
        let of = |numbers: &[u32]| Picture::of_numbers(numbers, (numbers.len(), 1));
        let before = of(&[0x10_2030, 0x10_2030, 0x10_2030, 0x10_2030]);
        let after = of(&[0x10_2030, 0x10_2030, 0xff_ffff, 0xff_ffff]);
        let half = of(&[0x11_2131, 0x80_8080, 0xff_ffff, 0x10_2030]);
        assert!((half.likeness(&after) - 0.5).abs() < 1e-9);
        assert!((half.likeness_where_changed(&before, &after) - 0.5).abs() < 1e-9);
        assert!((before.likeness_where_changed(&before, &after)).abs() < 1e-9);
        assert!((after.likeness_where_changed(&before, &after) - 1.0).abs() < 1e-9);
        assert!((before.likeness(&of(&[1]))).abs() < 1e-9);
        assert_eq!(half.changed(&after, |_, _| true), 2);
        assert_eq!(half.changed(&after, |column, _| column == 3), 1);
        assert_eq!(half.changed(&of(&[1]), |_, _| false), 4);
    }
}
