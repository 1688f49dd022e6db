//! Curves over a common axis.

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::element::DashedPathElement;
pub use plotters::prelude::SeriesLabelPosition as Place;
use plotters::prelude::*;

use super::{COLORS, Canvas, FONT, GRAY, NARROW, TITLE, draw};

const WIDTH: u32 = 720;
/// Heights of a panel among others, of a single panel, of a panel of a narrow chart, and of the axis name
/// below the last panel.
const HEIGHT: u32 = 240;
const ALONE: u32 = 360;
const LOW: u32 = 190;
const AXIS: u32 = 46;

/// A named curve, with optional error bars.
pub struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
    /// One per point, or empty.
    deviations: Vec<f64>,
    dashed: bool,
    marked: bool,
}

impl Curve {
    pub fn new(name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self {
            name: name.into(),
            points: points.into_iter().collect(),
            deviations: Vec::new(),
            dashed: false,
            marked: false,
        }
    }

    /// Adds error bars of one standard deviation to either side, one for each point.
    pub fn with_deviations(mut self, deviations: Vec<f64>) -> Self {
        self.deviations = deviations;
        self
    }

    /// Dashes the curve, for values that are not measured, such as a target.
    pub fn dashed(mut self) -> Self {
        self.dashed = true;
        self
    }

    /// Marks some points of the curve, which tells it from others without color.
    pub fn marked(mut self) -> Self {
        self.marked = true;
        self
    }

    /// Returns the points with the lower and the upper end of their bars.
    fn bars(&self) -> impl Iterator<Item = (f64, [f64; 2])> {
        let deviations = self.deviations.iter().copied();
        let deviations = deviations.chain(std::iter::repeat(0.0));
        let points = self.points.iter().zip(deviations);
        points.map(|(&(x, y), deviation)| (x, [y - deviation, y + deviation]))
    }
}

/// The name and the scale of an axis.
#[derive(Clone, Copy)]
pub struct Axis {
    name: &'static str,
    logarithmic: bool,
}

impl Axis {
    pub const fn linear(name: &'static str) -> Self {
        Self {
            name,
            logarithmic: false,
        }
    }

    pub const fn logarithmic(name: &'static str) -> Self {
        Self {
            name,
            logarithmic: true,
        }
    }
}

/// Curves that share a vertical axis.
pub struct Panel {
    pub axis: Axis,
    pub curves: Vec<Curve>,
    /// The place of the legend.
    pub names: Place,
}

/// Draws panels one above the other, over the same horizontal axis.
pub fn panels(
    path: &Path,
    title: &str,
    axis: Axis,
    panels: &[Panel],
) -> Result<(), Box<dyn Error>> {
    let height = if panels.len() == 1 { ALONE } else { HEIGHT };
    draw_panels(path, title, axis, panels, (WIDTH, height))
}

/// Draws panels as [`panels`] does, in a chart that stays legible at a width of 300 pixels.
pub fn narrow_panels(
    path: &Path,
    title: &str,
    axis: Axis,
    panels: &[Panel],
) -> Result<(), Box<dyn Error>> {
    draw_panels(path, title, axis, panels, (NARROW, LOW))
}

fn draw_panels(
    path: &Path,
    title: &str,
    axis: Axis,
    panels: &[Panel],
    (width, height): (u32, u32),
) -> Result<(), Box<dyn Error>> {
    let all = panels.iter().flat_map(|panel| &panel.curves);
    let x = Scale::of(all.flat_map(|c| c.points.iter().map(|p| p.0)), axis)?;
    let total = TITLE + height * u32::try_from(panels.len())? + AXIS;
    draw(path, (width, total), |canvas| {
        let (head, mut rest) = canvas.split_vertically(TITLE);
        head.titled(title, (FONT, 20))?;
        let mut names: Vec<&str> = Vec::new(); // a color stands for one name
        for (index, panel) in panels.iter().enumerate() {
            let last = index + 1 == panels.len();
            let (here, below) = rest.split_vertically(height + if last { AXIS } else { 0 });
            let named = names.len();
            for curve in panel.curves.iter().filter(|curve| !curve.dashed) {
                if !names.contains(&curve.name.as_str()) {
                    names.push(&curve.name);
                }
            }
            paint(&here, panel, &x, last, &names, named)?;
            rest = below;
        }
        Ok(())
    })
}

/// The legend of a panel above explains the `names` before `named`.
fn paint(
    canvas: &Canvas<'_>,
    panel: &Panel,
    x: &Scale,
    with_axis: bool,
    names: &[&str],
    named: usize,
) -> Result<(), Box<dyn Error>> {
    let values = panel.curves.iter().flat_map(Curve::bars);
    let y = Scale::of(values.flat_map(|(_, ends)| ends), panel.axis)?;
    let label = |tick: &f64| match with_axis {
        true => digits(*tick),
        false => String::new(),
    };
    let mut chart = ChartBuilder::on(canvas)
        .margin(8)
        .margin_right(20)
        .x_label_area_size(if with_axis { AXIS } else { 8 })
        .y_label_area_size(64)
        .build_cartesian_2d(x.clone(), y.clone())?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(GRAY.mix(0.25))
        .x_labels(8)
        .y_labels(6)
        .x_label_formatter(&label)
        .x_desc(if with_axis { x.axis.name } else { "" })
        .y_desc(y.axis.name)
        .label_style((FONT, 15))
        .axis_desc_style((FONT, 16))
        .draw()?;
    let place = |curve: &Curve| names.iter().position(|name| *name == curve.name);
    let is_new = |curve: &Curve| place(curve).is_none_or(|place| place >= named);
    for curve in &panel.curves {
        let place = place(curve);
        let color = match place {
            Some(place) if !curve.dashed => COLORS[place % COLORS.len()],
            _ => GRAY,
        };
        let points = curve.points.iter().copied();
        let drawn = if curve.dashed {
            chart.draw_series(DashedLineSeries::new(points, 6, 4, color.stroke_width(2)))?
        } else {
            let dot = if curve.deviations.is_empty() { 0 } else { 4 };
            let line = LineSeries::new(points, color.filled().stroke_width(2));
            chart.draw_series(line.point_size(dot))?
        };
        // The legend shows three dashes, or a line.
        let dash = if curve.dashed { (6, 4) } else { (24, 0) };
        let dot = if curve.marked { 4 } else { 0 };
        if is_new(curve) {
            drawn.label(&curve.name).legend(move |(x, y)| {
                let style = color.stroke_width(2);
                EmptyElement::at((x, y))
                    + DashedPathElement::new([(0, 0), (24, 0)], dash.0, dash.1, style)
                    + Circle::new((12, 0), dot, color.filled())
            });
        }
        if curve.marked {
            let every = curve.points.len().div_ceil(10);
            let points = curve.points.iter().skip(every / 2).step_by(every);
            chart.draw_series(points.map(|&point| Circle::new(point, dot, color.filled())))?;
        }
        if !curve.deviations.is_empty() {
            let bars = curve.bars();
            chart.draw_series(bars.map(|(x, [low, high])| {
                PathElement::new([(x, low), (x, high)], color.stroke_width(2))
            }))?;
        }
    }
    if !panel.curves.iter().any(is_new) {
        return Ok(());
    }
    chart
        .configure_series_labels()
        .position(panel.names.clone())
        .background_style(WHITE.mix(0.8))
        .legend_area_size(32)
        .margin(12)
        .label_font((FONT, 15))
        .draw()?;
    Ok(())
}

/// An axis with its range.
#[derive(Clone)]
struct Scale {
    axis: Axis,
    range: Range<f64>,
}

impl Scale {
    /// Covers the values, with a small margin on both sides.
    fn of(values: impl Iterator<Item = f64>, axis: Axis) -> Result<Self, Box<dyn Error>> {
        let along = |value: f64| if axis.logarithmic { value.ln() } else { value };
        let covered = values.map(along).filter(|value| value.is_finite());
        let range = covered.fold(f64::INFINITY..f64::NEG_INFINITY, |range, value| {
            range.start.min(value)..range.end.max(value)
        });
        let room = 0.04 * (range.end - range.start);
        if !room.is_finite() || room <= 0.0 {
            return Err(format!("nothing to draw over {}", axis.name).into());
        }
        let back = |value: f64| if axis.logarithmic { value.exp() } else { value };
        let range = back(range.start - room)..back(range.end + room);
        Ok(Self { axis, range })
    }

    /// Returns 1, 2, 5, 10, … within the range, or only the powers of ten.
    fn logarithmic_ticks(&self, most: usize) -> Vec<f64> {
        let mut ticks = Vec::new();
        for digits in [&[1.0, 2.0, 5.0][..], &[1.0]] {
            let powers = -300..300;
            ticks = powers
                .flat_map(|power| digits.iter().map(move |digit| digit * 10_f64.powi(power)))
                .filter(|tick| self.range.contains(tick))
                .collect();
            if ticks.len() <= most {
                break;
            }
        }
        ticks
    }

    /// Returns multiples of 1, 2, or 5 times a power of ten.
    fn linear_ticks(&self, most: usize) -> Vec<f64> {
        let width = self.range.end - self.range.start;
        let power = 10_f64.powf((width / 100.0).log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];
        let ticks_of = |step: f64| {
            let first = (self.range.start / step).ceil();
            (0..)
                .map(move |index| (first + f64::from(index)) * step)
                .take_while(|tick| *tick <= self.range.end)
        };
        let enough = |step: &f64| ticks_of(*step).take(most + 1).count() <= most;
        let step = steps.map(|step| step * power).into_iter().find(enough);
        step.map_or(Vec::new(), |step| ticks_of(step).collect())
    }
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let along = |value: f64| {
            if self.axis.logarithmic {
                value.ln()
            } else {
                value
            }
        };
        let [start, end, value] = [self.range.start, self.range.end, *value].map(along);
        let share = (value - start) / (end - start);
        #[allow(clippy::cast_possible_truncation)] // a pixel
        let pixel = (f64::from(last - first) * share).round() as i32;
        first + pixel
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if self.axis.logarithmic {
            self.logarithmic_ticks(hint.bold_points())
        } else {
            self.linear_ticks(hint.bold_points())
        }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Scale {
    fn format_ext(&self, tick: &f64) -> String {
        digits(*tick)
    }
}

/// Formats a number without rounding errors and with thousands separators: 0.3 and 10,000.
fn digits(tick: f64) -> String {
    let rounded = (tick * 1e9).round() / 1e9;
    let digits = rounded.to_string();
    if rounded < 1000.0 || rounded.fract() > 0.0 {
        return digits;
    }
    let (thousands, rest) = digits.split_at(digits.len() - 3);
    format!("{thousands},{rest}")
}
