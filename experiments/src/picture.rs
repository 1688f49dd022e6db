//! Pictures of samples and weights as 8-bit gray PNG files.

use std::error::Error;
use std::fs::{File, create_dir_all};
use std::io::BufWriter;
use std::path::Path;

use sparse_autoencoder::nalgebra::DMatrix;

/// The gray behind and between the tiles. It is darker than a weight of 0, and far from the black and
/// white of samples.
const BACKGROUND: u8 = 96;

/// The margin around the picture, in pixels.
const MARGIN: usize = 8;

/// The gap between the pictures of a stack, in pixels.
const STACK_GAP: usize = 4;

/// The mapping from numbers to gray values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Contrast {
    /// For weights: 0 is mid-gray, and the largest magnitude of each tile is black or white.
    Symmetric,
    /// For samples: 0 is black and 1 is white; other values are clipped.
    Unit,
}

/// The layout of the tiles of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    /// Height and width of a tile, in entries of the matrix.
    pub tile: (usize, usize),
    /// Tiles side by side.
    pub columns: usize,
    /// Pixels per entry, in both directions.
    pub zoom: usize,
    pub contrast: Contrast,
}

/// A gray picture, `width` pixels to a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pixels: Vec<u8>,
}

impl Picture {
    /// Shows each column of `images`, unrolled row by row, as a tile.
    pub fn tiles(images: &DMatrix<f32>, layout: Layout) -> Result<Self, Box<dyn Error>> {
        let (tile_height, tile_width) = layout.tile;
        if images.is_empty() || images.nrows() != tile_height * tile_width {
            let (rows, columns) = images.shape();
            return Err(format!(
                "a matrix of {rows} x {columns} has no tiles of {tile_height} x {tile_width}"
            )
            .into());
        }
        let columns = layout.columns.clamp(1, images.ncols());
        let zoom = layout.zoom.max(1);
        let (cell_height, cell_width) = (tile_height * zoom + 1, tile_width * zoom + 1);
        let mut picture = Self::blank(
            columns * cell_width - 1,
            images.ncols().div_ceil(columns) * cell_height - 1,
        );
        for (index, image) in images.column_iter().enumerate() {
            let scale = match layout.contrast {
                Contrast::Symmetric => image.amax(),
                Contrast::Unit => 1.0,
            };
            let (top, left) = (index / columns * cell_height, index % columns * cell_width);
            for row in 0..tile_height * zoom {
                for column in 0..tile_width * zoom {
                    let value = image[row / zoom * tile_width + column / zoom];
                    picture.pixels[(top + row) * picture.width + left + column] =
                        layout.contrast.gray(value, scale);
                }
            }
        }
        Ok(picture)
    }

    /// Stacks pictures, the first on top.
    pub fn stack(pictures: &[Self]) -> Self {
        let width = pictures.iter().map(|picture| picture.width).max();
        let heights = pictures.iter().map(|picture| picture.height).sum::<usize>();
        let gaps = STACK_GAP * pictures.len().saturating_sub(1);
        let mut stack = Self::blank(width.unwrap_or(0), heights + gaps);
        let mut top = 0;
        for picture in pictures {
            stack.paste(picture, top, 0);
            top += picture.height + STACK_GAP;
        }
        stack
    }

    /// Writes a PNG with a margin around the picture, and creates its folder.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Box<dyn Error>> {
        let path = path.as_ref();
        self.write(path)
            .map_err(|error| format!("{}: {error}", path.display()).into())
    }

    fn write(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        let mut framed = Self::blank(self.width + 2 * MARGIN, self.height + 2 * MARGIN);
        framed.paste(self, MARGIN, MARGIN);
        if let Some(folder) = path.parent() {
            create_dir_all(folder)?;
        }
        let mut encoder = png::Encoder::new(
            BufWriter::new(File::create(path)?),
            u32::try_from(framed.width)?,
            u32::try_from(framed.height)?,
        );
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&framed.pixels)?;
        Ok(writer.finish()?)
    }

    fn blank(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            pixels: vec![BACKGROUND; width * height],
        }
    }

    fn paste(&mut self, picture: &Self, top: usize, left: usize) {
        for row in 0..picture.height {
            let start = (top + row) * self.width + left;
            self.pixels[start..start + picture.width]
                .copy_from_slice(&picture.pixels[row * picture.width..(row + 1) * picture.width]);
        }
    }
}

impl Contrast {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped to a byte
    fn gray(self, value: f32, scale: f32) -> u8 {
        let share = match self {
            Self::Symmetric if scale > 0.0 => 0.5 + 0.5 * value / scale,
            Self::Symmetric => 0.5,
            Self::Unit => value,
        };
        (share.clamp(0.0, 1.0) * 255.0).round() as u8
    }
}
