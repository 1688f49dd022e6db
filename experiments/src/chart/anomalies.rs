//! Charts of anomaly scores: ROC curves, and histograms with p-values.

use std::error::Error;
use std::iter::once;
use std::ops::Range;
use std::path::Path;

use plotters::element::DashedPathElement;
use plotters::prelude::*;

use super::{BLUE_LINE, COLORS, Canvas, FONT, GRAY, NARROW, ORANGE_LINE, SQUARE, TITLE, draw};

/// The height of a panel.
const PANEL: u32 = 270;

/// A named line.
pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// Draws ROC curves: the rate of detections over the rate of false alarms.
pub fn roc(path: &Path, title: &str, curves: &[Line]) -> Result<(), Box<dyn Error>> {
    draw(path, SQUARE, |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .caption(title, (FONT, 20))
            .margin(16)
            .x_label_area_size(46)
            .y_label_area_size(56)
            .build_cartesian_2d(-0.01..1.01, -0.01..1.01)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(GRAY.mix(0.25))
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&|x| format!("{x:.1}"))
            .y_label_formatter(&|y| format!("{y:.1}"))
            .x_desc("share of normal samples that raise an alarm")
            .y_desc("share of anomalies that are found")
            .label_style((FONT, 15))
            .axis_desc_style((FONT, 16))
            .draw()?;
        chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], GRAY.mix(0.5)))?;
        for (curve, color) in curves.iter().zip(COLORS.iter().cycle()) {
            chart
                .draw_series(LineSeries::new(
                    curve.points.iter().copied(),
                    color.stroke_width(2),
                ))?
                .label(&curve.name)
                .legend(|(x, y)| PathElement::new([(x, y), (x + 24, y)], color.stroke_width(3)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE)
            .border_style(GRAY.mix(0.5))
            .legend_area_size(32)
            .margin(12)
            .label_font((FONT, 15))
            .draw()?;
        Ok(())
    })
}

/// The scores of samples of one class, and their p-values. Without p-values, only the scores are drawn.
pub struct Class<'a> {
    pub scores: &'a [f64],
    pub p_values: &'a [f64],
}

/// Draws histograms of the scores of normal samples and of anomalies over a logarithmic axis, with the threshold. A bar
/// is a share of the samples of its own class. Below: the share of each class whose p-value is at most α, with the
/// false-alarm rate of the threshold.
pub fn scores(
    path: &Path,
    title: &str,
    [normal, anomalous]: [Class<'_>; 2],
    (threshold, rate): (f64, f64),
) -> Result<(), Box<dyn Error>> {
    let panels = if normal.p_values.is_empty() { 1 } else { 2 };
    draw(path, (NARROW, TITLE + panels * PANEL), |canvas| {
        let (head, rest) = canvas.split_vertically(TITLE);
        head.titled(title, (FONT, 20))?;
        let panels = rest.split_evenly((panels as usize, 1));
        histograms(&panels[0], [normal.scores, anomalous.scores], threshold)?;
        match panels.get(1) {
            Some(panel) => distributions(panel, [normal.p_values, anomalous.p_values], rate),
            None => Ok(()),
        }
    })
}

fn histograms(
    canvas: &Canvas<'_>,
    classes: [&[f64]; 2],
    threshold: f64,
) -> Result<(), Box<dyn Error>> {
    const BINS: usize = 30;
    let all = classes.iter().copied().flatten().copied();
    let positive = all.filter(|&score| score > 0.0 && score.is_finite());
    let range = positive.fold(f64::INFINITY..0.0, |range: Range<f64>, score| {
        range.start.min(score)..range.end.max(score)
    });
    if range.start >= range.end {
        return Err("no scores to draw".into());
    }
    let (low, high) = (range.start.log10(), range.end.log10());
    let width = (high - low) / f64::from(u32::try_from(BINS)?);
    let outlines = classes.map(|scores| {
        let mut shares = vec![0.0; BINS];
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
        for score in scores {
            let bin = ((score.log10() - low) / width) as usize;
            shares[bin.min(BINS - 1)] += 100.0 / count(scores);
        }
        let mut left = low;
        let steps = shares.iter().flat_map(|&share| {
            let step = [(left, share), (left + width, share)];
            left += width;
            step
        });
        once((low, 0.0))
            .chain(steps)
            .chain(once((high, 0.0)))
            .collect::<Vec<_>>()
    });
    let tops = outlines.iter().flatten();
    let top = 1.5 * tops.fold(0.0, |top: f64, &(_, share)| top.max(share));

    let mut chart = ChartBuilder::on(canvas)
        .margin(8)
        .margin_right(20)
        .x_label_area_size(46)
        .y_label_area_size(60)
        .build_cartesian_2d(low..high, 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .bold_line_style(GRAY.mix(0.25))
        .y_labels(5)
        .x_labels(5)
        .x_label_formatter(&|x| short(10_f64.powf(*x)))
        .y_label_formatter(&|y| format!("{y:.0} %"))
        .x_desc("score: squared error (logarithmic)")
        .y_desc("share of the samples")
        .label_style((FONT, 15))
        .axis_desc_style((FONT, 16))
        .draw()?;
    let [normal, anomalous] = outlines;
    chart
        .draw_series(AreaSeries::new(normal, 0.0, BLUE_LINE.mix(0.35)).border_style(BLUE_LINE))?
        .label("normal")
        .legend(|(x, y)| {
            Rectangle::new([(x, y - 6), (x + 24, y + 6)], BLUE_LINE.mix(0.5).filled())
        });
    chart
        .draw_series(LineSeries::new(anomalous, ORANGE_LINE.stroke_width(3)))?
        .label("anomalies")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 24, y)], ORANGE_LINE.stroke_width(3)));
    let threshold = threshold.log10().clamp(low, high);
    chart
        .draw_series(DashedLineSeries::new(
            [(threshold, 0.0), (threshold, top)],
            6,
            4,
            BLACK.stroke_width(2),
        ))?
        .label("threshold")
        .legend(|(x, y)| {
            DashedPathElement::new([(x, y), (x + 24, y)], 6, 4, BLACK.stroke_width(2))
        });
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .legend_area_size(32)
        .margin(8)
        .label_font((FONT, 15))
        .draw()?;
    Ok(())
}

/// Draws the share of the p-values of each class that are at most α, over α up to a half.
fn distributions(
    canvas: &Canvas<'_>,
    [normal, anomalous]: [&[f64]; 2],
    rate: f64,
) -> Result<(), Box<dyn Error>> {
    const END: f64 = 0.5;
    let steps = |p_values: &[f64]| {
        let mut sorted = p_values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (mut points, mut share) = (vec![(0.0, 0.0)], 0.0);
        for p_value in sorted.into_iter().take_while(|p_value| *p_value <= END) {
            points.push((p_value, share));
            share += 100.0 / count(p_values);
            points.push((p_value, share));
        }
        points.push((END, share));
        points.dedup_by(|next, last| {
            next.0 == last.0 && last.1 != 0.0 && {
                last.1 = next.1;
                true
            }
        });
        points
    };
    let mut chart = ChartBuilder::on(canvas)
        .margin(8)
        .margin_right(20)
        .x_label_area_size(46)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..END, 0.0..102.0)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(GRAY.mix(0.25))
        .x_labels(6)
        .y_labels(5)
        .x_label_formatter(&|x| format!("{x:.1}"))
        .y_label_formatter(&|y| format!("{y:.0} %"))
        .x_desc("α")
        .y_desc("share with p-value ≤ α")
        .label_style((FONT, 15))
        .axis_desc_style((FONT, 16))
        .draw()?;
    let area = AreaSeries::new(steps(normal), 0.0, BLUE_LINE.mix(0.35));
    chart.draw_series(area.border_style(BLUE_LINE))?;
    chart.draw_series(LineSeries::new(
        steps(anomalous),
        ORANGE_LINE.stroke_width(3),
    ))?;
    chart.draw_series(DashedLineSeries::new(
        [(rate, 0.0), (rate, 102.0)],
        6,
        4,
        BLACK.stroke_width(2),
    ))?;
    chart
        .draw_series(LineSeries::new([(0.0, 0.0), (END, 100.0 * END)], GRAY))?
        .label("expected of normal samples: α")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 24, y)], GRAY));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::Coordinate(120, 46))
        .background_style(WHITE.mix(0.8))
        .legend_area_size(32)
        .margin(8)
        .label_font((FONT, 15))
        .draw()?;
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // far fewer than 2^52 samples
fn count(values: &[f64]) -> f64 {
    values.len().max(1) as f64
}

/// Formats a number with two significant digits.
fn short(value: f64) -> String {
    match value {
        1e5.. | ..1e-3 => format!("{value:.1e}"),
        10.0.. => format!("{value:.0}"),
        1.0.. => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
