//! Pictures to learn from: the digits and photographs beside this file, and any PNG.
//!
//! A picture is a matrix of grey values in [0, 1], a row of pixels in each of its rows. A sample is
//! a picture unrolled row by row, the top row first, as scikit-learn and the MNIST files have it:
//! the pixel at `(row, column)` is entry `row · width + column`.

#![allow(dead_code, reason = "every example uses a part of its own")]

use std::error::Error;
use std::io::{BufRead, Cursor, Seek};
use std::path::Path;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use sparse_autoencoder::nalgebra::DMatrix;

const DIGITS: &[u8] = include_bytes!("digits.png");
const LABELS: &[u8] = include_bytes!("digits_labels.txt");
const PUBLISHED_SPLIT: &[u8] = include_bytes!("digits_published_split.txt");
const PHOTOGRAPHS: [&[u8]; 3] = [
    include_bytes!("photographs/camera.png"),
    include_bytes!("photographs/chelsea.png"),
    include_bytes!("photographs/coffee.png"),
];

/// Height and width of a digit.
pub(crate) const DIGIT_SIZE: usize = 8;

/// A digit has the 17 values from 0 to 16, stored 15 apart to be seen with any viewer.
const LARGEST_DIGIT_PIXEL: f32 = 16.0 * 15.0;

/// Handwritten digits with their labels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Digits {
    /// 64 x digits, multiples of 1/16 in [0, 1].
    pub(crate) samples: DMatrix<f32>,
    /// The digit of each sample, 0 to 9.
    pub(crate) labels: Vec<u8>,
}

impl Digits {
    /// Holds out `held_out` digits drawn by `seed`: the others, and those.
    pub(crate) fn split(&self, held_out: usize, seed: u64) -> Result<(Self, Self), Box<dyn Error>> {
        let order = self.shuffled(seed);
        let (held_out, rest) = order
            .split_at_checked(held_out)
            .ok_or("more digits held out than there are")?;
        Ok((self.select(rest), self.select(held_out)))
    }

    /// Holds out the 629 digits of a split that results were published of, see the README beside
    /// this file: the others, and those. `seed` draws no more than their order.
    pub(crate) fn published_split(&self, seed: u64) -> (Self, Self) {
        let (held_out, rest) = self
            .shuffled(seed)
            .into_iter()
            .partition::<Vec<_>, _>(|&index| PUBLISHED_SPLIT[index] == b'1');
        (self.select(&rest), self.select(&held_out))
    }

    fn shuffled(&self, seed: u64) -> Vec<usize> {
        let mut order = (0..self.labels.len()).collect::<Vec<_>>();
        order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(seed));
        order
    }

    fn select(&self, indices: &[usize]) -> Self {
        Self {
            samples: self.samples.select_columns(indices),
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
        }
    }
}

/// The 1797 handwritten digits of 8 x 8 pixels.
pub(crate) fn digits() -> Result<Digits, Box<dyn Error>> {
    let mosaic = decode(Cursor::new(DIGITS))?;
    let labels = LABELS
        .iter()
        .map(|character| character - b'0')
        .collect::<Vec<_>>();
    let tiles_across = mosaic.ncols() / DIGIT_SIZE;
    let samples = DMatrix::from_fn(DIGIT_SIZE * DIGIT_SIZE, labels.len(), |pixel, digit| {
        let row = digit / tiles_across * DIGIT_SIZE + pixel / DIGIT_SIZE;
        let column = digit % tiles_across * DIGIT_SIZE + pixel % DIGIT_SIZE;
        f32::from(mosaic[(row, column)]) / LARGEST_DIGIT_PIXEL
    });
    Ok(Digits { samples, labels })
}

/// A photographer, a cat, and a cup of coffee.
pub(crate) fn photographs() -> Result<Vec<DMatrix<f32>>, Box<dyn Error>> {
    PHOTOGRAPHS
        .iter()
        .map(|file| Ok(grey_values(&decode(Cursor::new(file))?)))
        .collect()
}

/// The PNG at `path` as grey values; colours become their luminance, transparency is ignored.
pub(crate) fn read_png(path: impl AsRef<Path>) -> Result<DMatrix<f32>, Box<dyn Error>> {
    let path = path.as_ref();
    let read = || -> Result<_, Box<dyn Error>> {
        decode(std::io::BufReader::new(std::fs::File::open(path)?))
    };
    match read() {
        Ok(pixels) => Ok(grey_values(&pixels)),
        Err(error) => Err(format!("{}: {error}", path.display()).into()),
    }
}

/// Draws `count` square patches of `size` x `size` pixels: a random picture each time, and a random
/// place in it. Returns size² x count.
pub(crate) fn patches(
    images: &[DMatrix<f32>],
    size: usize,
    count: usize,
    seed: u64,
) -> Result<DMatrix<f32>, Box<dyn Error>> {
    let fits = |image: &DMatrix<f32>| image.nrows() >= size && image.ncols() >= size;
    if size == 0 || images.is_empty() || !images.iter().all(fits) {
        return Err(format!("no patches of {size} x {size} pixels in these pictures").into());
    }
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut patches = DMatrix::zeros(size * size, count);
    for mut patch in patches.column_iter_mut() {
        let image = &images[rng.random_range(0..images.len())];
        let top = rng.random_range(0..=image.nrows() - size);
        let left = rng.random_range(0..=image.ncols() - size);
        for (index, pixel) in patch.iter_mut().enumerate() {
            *pixel = image[(top + index / size, left + index % size)];
        }
    }
    Ok(patches)
}

fn grey_values(pixels: &DMatrix<u8>) -> DMatrix<f32> {
    pixels.map(|pixel| f32::from(pixel) / 255.0)
}

fn decode(file: impl BufRead + Seek) -> Result<DMatrix<u8>, Box<dyn Error>> {
    let mut decoder = png::Decoder::new(file);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let mut bytes = vec![
        0;
        reader
            .output_buffer_size()
            .ok_or("the picture is too large")?
    ];
    let info = reader.next_frame(&mut bytes)?;
    let channels = info.color_type.samples();
    let grey = bytes[..info.buffer_size()]
        .chunks_exact(channels)
        .map(|pixel| match *pixel {
            [red, green, blue, ..] => luminance(red, green, blue),
            _ => pixel[0],
        });
    Ok(DMatrix::from_row_iterator(
        info.height as usize,
        info.width as usize,
        grey,
    ))
}

/// By ITU-R BT.709.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a mean of bytes
fn luminance(red: u8, green: u8, blue: u8) -> u8 {
    let [red, green, blue] = [red, green, blue].map(f32::from);
    (0.2126 * red + 0.7152 * green + 0.0722 * blue).round() as u8
}
