//! The photographs in `examples/data`, any PNG file, and patches of pictures.
//!
//! A picture is a matrix of gray values in [0, 1]: a matrix row is a row of pixels.

use std::error::Error;
use std::io::{BufRead, Cursor, Seek};
use std::path::Path;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use sparse_autoencoder::nalgebra::DMatrix;

const PHOTOGRAPHS: [&[u8]; 3] = [
    include_bytes!("../../examples/data/photographs/camera.png"),
    include_bytes!("../../examples/data/photographs/chelsea.png"),
    include_bytes!("../../examples/data/photographs/coffee.png"),
];

/// Returns photographs of a photographer, a cat, and a cup of coffee.
pub fn load() -> Result<Vec<DMatrix<f32>>, Box<dyn Error>> {
    PHOTOGRAPHS
        .iter()
        .map(|file| Ok(gray_values(&decode(Cursor::new(file))?)))
        .collect()
}

/// Reads a PNG file as gray values. Colors become their luminance; transparency is ignored.
pub fn read_png(path: impl AsRef<Path>) -> Result<DMatrix<f32>, Box<dyn Error>> {
    let path = path.as_ref();
    let read = || -> Result<_, Box<dyn Error>> {
        decode(std::io::BufReader::new(std::fs::File::open(path)?))
    };
    match read() {
        Ok(pixels) => Ok(gray_values(&pixels)),
        Err(error) => Err(format!("{}: {error}", path.display()).into()),
    }
}

/// Draws `count` patches of `size` x `size` pixels, each from a random place of a random picture.
/// Returns size² x count.
pub fn patches(
    images: &[DMatrix<f32>],
    size: usize,
    count: usize,
    seed: u64,
) -> Result<DMatrix<f32>, Box<dyn Error>> {
    let fits = |image: &DMatrix<f32>| image.nrows() >= size && image.ncols() >= size;
    if size == 0 || images.is_empty() || !images.iter().all(fits) {
        return Err(format!("pictures are smaller than a patch of {size} x {size} pixels").into());
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

fn gray_values(pixels: &DMatrix<u8>) -> DMatrix<f32> {
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
    let gray = bytes[..info.buffer_size()]
        .chunks_exact(channels)
        .map(|pixel| match *pixel {
            [red, green, blue, ..] => luminance(red, green, blue),
            _ => pixel[0],
        });
    Ok(DMatrix::from_row_iterator(
        info.height as usize,
        info.width as usize,
        gray,
    ))
}

/// Returns the luminance by ITU-R BT.709.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a mean of bytes
fn luminance(red: u8, green: u8, blue: u8) -> u8 {
    let [red, green, blue] = [red, green, blue].map(f32::from);
    (0.2126 * red + 0.7152 * green + 0.0722 * blue).round() as u8
}
