//! An SVG file of digits and features.

use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

use sparse_autoencoder::nalgebra::DMatrixView;

/// Tiles side by side.
const TILES: usize = 20;

/// Shades of gray, from black to white. Digits have 17 values.
const SHADES: usize = 17;

/// Titled rows of 8 x 8 tiles, 9 pixels apart.
pub(crate) struct Picture {
    height: usize,
    svg: String,
}

impl Picture {
    pub(crate) fn new() -> Self {
        let svg = String::new();
        Self { height: 0, svg }
    }

    /// Adds the columns of `images` below `title`. The ends of `range` become black and white.
    pub(crate) fn row(
        mut self,
        title: &str,
        images: DMatrixView<'_, f32>,
        range: Range<f32>,
    ) -> Self {
        let baseline = self.height + 8;
        self.svg += &format!("<text x=\"2\" y=\"{baseline}\">{title}</text>\n");
        let mut shades = vec![String::new(); SHADES];
        for (tile, image) in images.column_iter().enumerate() {
            let (left, top) = (tile % TILES * 9 + 2, tile / TILES * 9 + baseline + 2);
            for (pixel, value) in image.iter().enumerate() {
                let share = (value - range.start) / (range.end - range.start);
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
                let shade = (share * (SHADES - 1) as f32).round() as usize;
                let path = &mut shades[shade.min(SHADES - 1)];
                let (x, y) = (left + pixel % 8, top + pixel / 8);
                write!(path, "M{x} {y}h1").expect("a String can be written to");
            }
        }
        for (shade, path) in shades.iter().enumerate() {
            let gray = 255 * shade / (SHADES - 1);
            self.svg += &format!("<path stroke=\"rgb({gray},{gray},{gray})\" d=\"{path}\"/>\n");
        }
        self.height = baseline + 2 + 9 * images.ncols().div_ceil(TILES);
        self
    }

    /// Writes the file, and creates its folder.
    pub(crate) fn save(&self, path: impl AsRef<Path>) -> std::io::Result<()> {
        let (width, height) = (9 * TILES + 3, self.height + 1);
        // Strokes run through the middle of their pixels.
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"6\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <g transform=\"translate(0 0.5)\" shape-rendering=\"crispEdges\">\n{}</g>\n</svg>\n",
            5 * width,
            5 * height,
            self.svg
        );
        if let Some(folder) = path.as_ref().parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, svg)
    }
}
