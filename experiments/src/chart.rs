//! Charts as SVG files, with legible text and distinguishable lines.

pub mod anomalies;
pub mod contributions;
pub mod curves;

use std::error::Error;
use std::fmt::Write;
use std::fs::{create_dir_all, write};
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use sparse_autoencoder::nalgebra::DMatrix;

use crate::report::median;

/// The colors of Okabe & Ito, which color-blind readers can distinguish.
pub const BLUE_LINE: RGBColor = RGBColor(0, 114, 178);
pub const ORANGE_LINE: RGBColor = RGBColor(213, 94, 0);
const COLORS: [RGBColor; 10] = [
    BLUE_LINE,
    ORANGE_LINE,
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    // From Tol's muted scheme, for more than six classes.
    RGBColor(136, 34, 85),
    RGBColor(153, 153, 51),
    BLACK,
    RGBColor(150, 150, 150),
];
const GRAY: RGBColor = RGBColor(120, 120, 120);

/// The width of a chart that stays legible at 300 pixels.
const NARROW: u32 = 480;
/// The height of the title of a chart.
const TITLE: u32 = 40;
const SQUARE: (u32, u32) = (560, 560);
const FONT: &str = "sans-serif";

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Samples as points of a plane.
pub struct Map<'a> {
    pub title: &'a str,
    pub axes: [&'a str; 2],
    /// 2 × samples
    pub points: &'a DMatrix<f32>,
    /// 0 to 9 for each sample
    pub classes: &'a [usize],
}

/// Draws maps side by side, with a color for each class and its number at the median of its points.
pub fn maps(path: &Path, maps: &[Map<'_>]) -> Result<(), Box<dyn Error>> {
    const LEGEND: u32 = 36;
    let width = SQUARE.0 * u32::try_from(maps.len())?;
    let mut marks = String::new();
    let svg = render((width, SQUARE.1 + LEGEND), |canvas| {
        let (panels, legend) = canvas.split_vertically(SQUARE.1);
        for (map, panel) in maps.iter().zip(panels.split_evenly((1, maps.len()))) {
            marks += &draw_map(map, &panel)?;
        }
        for (class, color) in (0..).zip(COLORS) {
            let x = i32::try_from(width)? / 2 + 48 * (class - 5) + 16;
            legend.draw(&Circle::new((x, 12), 6, color.filled()))?;
            let style = (FONT, 16).into_text_style(&legend);
            let style = style.pos(Pos::new(HPos::Left, VPos::Center));
            legend.draw(&Text::new(class.to_string(), (x + 10, 12), style))?;
        }
        Ok(())
    })?;
    save(path, &svg.replace("</svg>", &(marks + "</svg>")))
}

/// Draws the axes of a map and returns its points and numbers. Each point of a path takes 10 bytes, an
/// element of plotters 90.
fn draw_map(map: &Map<'_>, panel: &Canvas<'_>) -> Result<String, Box<dyn Error>> {
    let [xs, ys] = [0, 1].map(|axis| map.points.row(axis).map(f64::from));
    let [x_range, y_range] = [&xs, &ys].map(|values| {
        let margin = 0.04 * (values.max() - values.min()).max(f64::MIN_POSITIVE);
        values.min() - margin..values.max() + margin
    });
    let mut chart = ChartBuilder::on(panel)
        .caption(map.title, (FONT, 20))
        .margin(16)
        .x_label_area_size(46)
        .y_label_area_size(56)
        .build_cartesian_2d(x_range, y_range)?;
    chart
        .configure_mesh()
        .max_light_lines(1) // none between the bold ones
        .bold_line_style(GRAY.mix(0.2))
        .x_labels(6)
        .y_labels(6)
        .x_desc(map.axes[0])
        .y_desc(map.axes[1])
        .label_style((FONT, 15))
        .axis_desc_style((FONT, 16))
        .draw()?;

    let (mut dots, mut numbers) = (String::new(), String::new());
    for (class, color) in COLORS.iter().enumerate() {
        let of_class = |values: &[f64]| {
            let labeled = values.iter().zip(map.classes);
            let chosen = labeled.filter(|(_, other)| **other == class);
            chosen.map(|(&value, _)| value).collect::<Vec<_>>()
        };
        let [xs, ys] = [&xs, &ys].map(|values| of_class(values.as_slice()));
        if xs.is_empty() {
            continue;
        }
        let RGBColor(red, green, blue) = color;
        let color = format!("#{red:02x}{green:02x}{blue:02x}");
        let place = |x, y| chart.plotting_area().map_coordinate(&(x, y));
        write!(
            dots,
            r#"<path stroke="{color}" stroke-width="4" stroke-linecap="round" d=""#
        )?;
        for (&x, &y) in xs.iter().zip(&ys) {
            let (x, y) = place(x, y);
            write!(dots, "M{x} {y}h0")?;
        }
        writeln!(dots, r#""/>"#)?;
        let (x, y) = place(median(xs), median(ys));
        // Drawn twice, because not every viewer can paint the outline below the letter.
        for outline in [
            r##" stroke="#ffffff" stroke-width="6" stroke-linejoin="round""##,
            "",
        ] {
            writeln!(
                numbers,
                r#"<text x="{x}" y="{y}" dy="0.35em" text-anchor="middle" font-family="{FONT}" font-size="24" font-weight="bold" fill="{color}"{outline}>{class}</text>"#
            )?;
        }
    }
    Ok(dots + &numbers)
}

fn draw(
    path: &Path,
    size: (u32, u32),
    paint: impl FnOnce(&Canvas<'_>) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    save(path, &render(size, paint)?)
}

fn render(
    size: (u32, u32),
    paint: impl FnOnce(&Canvas<'_>) -> Result<(), Box<dyn Error>>,
) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let canvas = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        canvas.fill(&WHITE)?;
        paint(&canvas)?;
        canvas.present()?;
    }
    Ok(svg)
}

/// Writes the file, and creates its folder.
fn save(path: &Path, svg: &str) -> Result<(), Box<dyn Error>> {
    let folder = path.parent().map_or(Ok(()), create_dir_all);
    folder
        .and_then(|()| write(path, svg))
        .map_err(|error| format!("{}: {error}", path.display()).into())
}
