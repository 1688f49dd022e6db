//! Charts as SVG files: text that can be read, lines that can be told apart, and nothing else.

#![allow(dead_code, reason = "every example uses a part of its own")]

pub(crate) mod curves;

use std::error::Error;
use std::fs::create_dir_all;
use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

/// Of Okabe & Ito, to be told apart with any eyes.
pub(crate) const BLUE_LINE: RGBColor = RGBColor(0, 114, 178);
pub(crate) const ORANGE_LINE: RGBColor = RGBColor(213, 94, 0);
const COLOURS: [RGBColor; 6] = [
    BLUE_LINE,
    ORANGE_LINE,
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];
const GREY: RGBColor = RGBColor(120, 120, 120);

const SIZE: (u32, u32) = (720, 480);
const SQUARE: (u32, u32) = (560, 560);
const FONT: &str = "sans-serif";

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A named line.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// ROC curves: the rate of detections over the rate of false alarms.
pub(crate) fn roc(path: &Path, title: &str, curves: &[Line]) -> Result<(), Box<dyn Error>> {
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
            .bold_line_style(GREY.mix(0.25))
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&|x| format!("{x:.1}"))
            .y_label_formatter(&|y| format!("{y:.1}"))
            .x_desc("share of normal samples that raise an alarm")
            .y_desc("share of anomalies that are found")
            .label_style((FONT, 15))
            .axis_desc_style((FONT, 16))
            .draw()?;
        chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], GREY.mix(0.5)))?;
        for (curve, colour) in curves.iter().zip(COLOURS.iter().cycle()) {
            chart
                .draw_series(LineSeries::new(
                    curve.points.iter().copied(),
                    colour.stroke_width(2),
                ))?
                .label(&curve.name)
                .legend(|(x, y)| PathElement::new([(x, y), (x + 24, y)], colour.stroke_width(3)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE)
            .border_style(GREY.mix(0.5))
            .legend_area_size(32)
            .margin(12)
            .label_font((FONT, 15))
            .draw()?;
        Ok(())
    })
}

/// How the scores of normal samples and of anomalies are distributed, over a logarithmic axis, with
/// the threshold between them. Each histogram has an area of its own: the share of its samples.
pub(crate) fn scores(
    path: &Path,
    title: &str,
    [normal, anomalous]: [&[f64]; 2],
    threshold: f64,
) -> Result<(), Box<dyn Error>> {
    const BINS: usize = 40;
    let all = normal.iter().chain(anomalous).copied();
    let positive = all.filter(|&score| score > 0.0 && score.is_finite());
    let range = positive.fold(f64::INFINITY..0.0, |range: Range<f64>, score| {
        range.start.min(score)..range.end.max(score)
    });
    if range.start >= range.end {
        return Err("no scores to draw".into());
    }
    let (low, high) = (range.start.log10(), range.end.log10());
    let width = (high - low) / f64::from(u32::try_from(BINS)?);
    let shares = |scores: &[f64]| {
        let mut counts = vec![0.0; BINS];
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
        for score in scores {
            let bin = ((score.log10() - low) / width) as usize;
            counts[bin.min(BINS - 1)] += 100.0;
        }
        #[allow(clippy::cast_precision_loss)] // counts
        let total = scores.len().max(1) as f64;
        counts.iter().map(|count| count / total).collect::<Vec<_>>()
    };
    let histograms = [
        ("normal", BLUE_LINE, shares(normal)),
        ("anomalies", ORANGE_LINE, shares(anomalous)),
    ];
    let top = histograms
        .iter()
        .flat_map(|(_, _, shares)| shares)
        .fold(0.0, |top: f64, &share| top.max(share));

    draw(path, SIZE, |canvas| {
        let mut chart = ChartBuilder::on(canvas)
            .caption(title, (FONT, 20))
            .margin(16)
            .x_label_area_size(46)
            .y_label_area_size(60)
            .build_cartesian_2d(low..high, 0.0..1.12 * top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .bold_line_style(GREY.mix(0.25))
            .y_labels(6)
            .x_labels(8)
            .x_label_formatter(&|x| short(10_f64.powf(*x)))
            .y_label_formatter(&|y| format!("{y:.0} %"))
            .x_desc("score: squared error of the reconstruction (logarithmic)")
            .y_desc("share of the samples")
            .label_style((FONT, 15))
            .axis_desc_style((FONT, 16))
            .draw()?;
        for (name, colour, shares) in &histograms {
            let mut outline = vec![(low, 0.0)];
            let mut left = low;
            for &share in shares {
                outline.push((left, share));
                left += width;
                outline.push((left, share));
            }
            outline.push((high, 0.0));
            chart
                .draw_series(
                    AreaSeries::new(outline, 0.0, colour.mix(0.25))
                        .border_style(colour.stroke_width(2)),
                )?
                .label(*name)
                .legend(|(x, y)| {
                    Rectangle::new([(x, y - 6), (x + 24, y + 6)], colour.mix(0.5).filled())
                });
        }
        let threshold = threshold.log10().clamp(low, high);
        chart
            .draw_series(LineSeries::new(
                [(threshold, 0.0), (threshold, 1.12 * top)],
                BLACK.stroke_width(2),
            ))?
            .label("threshold")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 24, y)], BLACK.stroke_width(2)));
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE)
            .border_style(GREY.mix(0.5))
            .legend_area_size(32)
            .margin(12)
            .label_font((FONT, 15))
            .draw()?;
        Ok(())
    })
}

/// A number to two significant digits.
fn short(value: f64) -> String {
    match value {
        1e5.. | ..1e-3 => format!("{value:.1e}"),
        10.0.. => format!("{value:.0}"),
        1.0.. => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

fn draw(
    path: &Path,
    size: (u32, u32),
    paint: impl FnOnce(&Canvas<'_>) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let write = || -> Result<(), Box<dyn Error>> {
        if let Some(folder) = path.parent() {
            create_dir_all(folder)?;
        }
        let canvas = SVGBackend::new(path, size).into_drawing_area();
        canvas.fill(&WHITE)?;
        paint(&canvas)?;
        Ok(canvas.present()?)
    };
    write().map_err(|error| format!("{}: {error}", path.display()).into())
}
