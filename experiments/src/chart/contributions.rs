//! Bars that add up to a score.

use std::error::Error;
use std::iter::once;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{BLUE_LINE, FONT, GRAY, NARROW, ORANGE_LINE, TITLE, draw};

/// A named part of a score, marked where the anomaly is.
pub struct Part {
    pub name: String,
    pub contribution: f64,
    pub marked: bool,
}

/// Draws how contributions add up to a score. Each bar starts where the one above ends. Small ones share a bar.
pub fn stacked(path: &Path, title: &str, mut parts: Vec<Part>) -> Result<(), Box<dyn Error>> {
    const SHOWN: usize = 8;
    const BAR: u32 = 28;
    parts.sort_by(|a, b| b.contribution.total_cmp(&a.contribution));
    let score = parts.iter().map(|part| part.contribution).sum::<f64>();
    let others = parts.split_off(parts.len().min(SHOWN));
    if !others.is_empty() {
        parts.push(Part {
            name: format!("{} others", others.len()),
            contribution: others.iter().map(|part| part.contribution).sum(),
            marked: false,
        });
    }
    let rows = u32::try_from(parts.len())? + 1;
    let decimals = if score < 10.0 { 2 } else { 0 };
    let decimal = |value: f64| format!("{value:.decimals$}");
    draw(path, (NARROW, TITLE + rows * BAR + 62), |canvas| {
        let (head, rest) = canvas.split_vertically(TITLE);
        head.titled(title, (FONT, 20))?;
        let mut chart = ChartBuilder::on(&rest)
            .margin(8)
            .margin_right(20)
            .x_label_area_size(46)
            .y_label_area_size(132)
            .build_cartesian_2d(0.0..1.15 * score, f64::from(rows)..0.0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .light_line_style(WHITE)
            .bold_line_style(GRAY.mix(0.25))
            .x_labels(6)
            .x_label_formatter(&|x| decimal(*x))
            .x_desc("contribution to the score")
            .label_style((FONT, 15))
            .axis_desc_style((FONT, 16))
            .draw()?;
        let mut start = 0.0;
        let bars = parts.iter().map(|part| {
            let color = if part.marked { ORANGE_LINE } else { BLUE_LINE };
            let bar = (part.name.as_str(), start..start + part.contribution, color);
            start += part.contribution;
            bar
        });
        let sum = once(("score", 0.0..score, GRAY));
        for (row, (name, range, color)) in (0_u32..).zip(bars.chain(sum)) {
            let row = f64::from(row);
            let corners = [(range.start, row + 0.15), (range.end, row + 0.85)];
            chart.draw_series(once(Rectangle::new(corners, color.filled())))?;
            let place = |value| chart.plotting_area().map_coordinate(&(value, row + 0.5));
            let text = |text: &str, place, side| {
                let style = (FONT, 15).into_text_style(canvas);
                let style = style.pos(Pos::new(side, VPos::Center));
                canvas.draw(&Text::new(text.to_owned(), place, style))
            };
            let [(left, y), (end, _)] = [0.0, range.end].map(place);
            text(name, (left - 8, y), HPos::Right)?;
            text(&decimal(range.end - range.start), (end + 6, y), HPos::Left)?;
        }
        Ok(())
    })
}
