//! Tests of the data, pictures, and baselines that the experiments share.

use std::path::PathBuf;

use approx::assert_relative_eq;
use experiments::chart::contributions::{self, Part};
use experiments::chart::{self, Map};
use experiments::mnist::Labeled;
use experiments::neighbors::{self, Neighbors};
use experiments::pca::Pca;
use experiments::picture::{Contrast, Layout, Picture};
use experiments::{digits, photographs, report};
use sparse_autoencoder::nalgebra::DMatrix;

fn output(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn digits_are_complete() {
    let digits = digits::load().unwrap();
    assert_eq!(digits.samples.shape(), (64, 1797));
    assert_eq!(digits.labels.len(), 1797);
    let counts = (0..10).map(|digit| {
        digits
            .labels
            .iter()
            .filter(|&&label| label == digit)
            .count()
    });
    assert_eq!(
        counts.collect::<Vec<_>>(),
        [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    );
    // The first row of the original file, a zero.
    let first = [
        0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0, 0, 3, 15, 2, 0, 11, 8, 0, 0, 4, 12, 0,
        0, 8, 8, 0, 0, 5, 8, 0, 0, 9, 8, 0, 0, 4, 11, 0, 1, 12, 7, 0, 0, 2, 14, 5, 10, 12, 0, 0, 0,
        0, 6, 13, 10, 0, 0, 0_u8,
    ];
    let sixteenths = digits.samples.map(|value| value * 16.0);
    assert_eq!(sixteenths.column(0).as_slice(), first.map(f32::from));
    assert_eq!(digits.labels[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert!(
        sixteenths
            .iter()
            .all(|value| value.fract() == 0.0 && (0.0..=16.0).contains(value))
    );
    // The sum over the original file.
    assert_relative_eq!(sixteenths.cast::<f64>().sum(), 561_718.0);
}

/// Labels with the bits of the pixels, in an order of their own.
fn sorted(parts: &[&Labeled]) -> Vec<(usize, Vec<u32>)> {
    let mut all = parts
        .iter()
        .flat_map(|part| part.samples.column_iter().zip(&part.labels))
        .map(|(sample, label)| (*label, sample.map(f32::to_bits).as_slice().to_vec()))
        .collect::<Vec<_>>();
    all.sort();
    all
}

#[test]
fn the_published_split_is_the_same_for_all_seeds() {
    let digits = digits::load().unwrap();
    let (training, held_out) = digits::published_split(&digits, 7);
    assert_eq!(training.labels.len(), 1168);
    assert_eq!(held_out.labels.len(), 629);
    assert_eq!(sorted(&[&training, &held_out]), sorted(&[&digits]));
    let of_each = |digit| held_out.labels.iter().filter(|&&l| l == digit).count();
    // Those of scikit-learn's `train_test_split`.
    let expected = [49, 65, 65, 59, 55, 74, 70, 60, 70, 62];
    assert_eq!([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(of_each), expected);

    let (_, other) = digits::published_split(&digits, 8);
    assert_ne!(held_out, other);
    assert_eq!(sorted(&[&held_out]), sorted(&[&other]));
}

#[test]
fn a_split_is_drawn_by_its_seed_and_loses_nothing() {
    let digits = digits::load().unwrap();
    let (training, held_out) = digits.split(297, 7).unwrap();
    assert_eq!(training.samples.shape(), (64, 1500));
    assert_eq!(held_out.samples.shape(), (64, 297));
    assert_eq!(held_out.labels.len(), 297);
    assert_eq!(
        (training.clone(), held_out.clone()),
        digits.split(297, 7).unwrap()
    );
    assert_ne!(held_out, digits.split(297, 8).unwrap().1);
    assert_eq!(sorted(&[&training, &held_out]), sorted(&[&digits]));
    assert!(digits.split(1798, 7).is_err());
}

#[test]
fn photographs_are_read() {
    let photographs = photographs::load().unwrap();
    let shapes = photographs.iter().map(DMatrix::shape).collect::<Vec<_>>();
    assert_eq!(shapes, [(512, 512), (300, 451), (400, 600)]);
    for photograph in &photographs {
        assert!(photograph.min() >= 0.0 && photograph.max() <= 1.0);
        assert!(photograph.variance() > 0.01);
    }
}

#[test]
fn patches_are_cut_from_the_pictures() {
    // Every pixel of the two pictures is a number of its own.
    let numbered = |start: u16, height: usize, width: usize| {
        DMatrix::from_row_iterator(height, width, (start..).take(height * width).map(f32::from))
    };
    let images = [numbered(0, 5, 7), numbered(1000, 4, 3)];
    let patches = photographs::patches(&images, 3, 1000, 1).unwrap();
    assert_eq!(patches.shape(), (9, 1000));
    let mut corners = std::collections::BTreeSet::new();
    for patch in patches.column_iter() {
        let width = if patch[0] < 1000.0 { 7.0 } else { 3.0 };
        let expected = [0.0, 1.0, 2.0]
            .map(|row| [0.0, 1.0, 2.0].map(|column| patch[0] + row * width + column))
            .concat();
        assert_eq!(patch.as_slice(), expected);
        corners.insert(patch[0].to_bits());
    }
    // All 3 · 5 + 2 · 1 places occur: 1000 draws miss one with probability 15 (29/30)¹⁰⁰⁰ < 1e-13.
    assert_eq!(corners.len(), 17);

    assert_eq!(patches, photographs::patches(&images, 3, 1000, 1).unwrap());
    assert_ne!(patches, photographs::patches(&images, 3, 1000, 2).unwrap());
    assert!(photographs::patches(&images, 4, 1, 1).is_err());
    assert!(photographs::patches(&[], 4, 1, 1).is_err());
}

#[test]
fn a_picture_survives_its_file() {
    let images = DMatrix::from_column_slice(
        4,
        3,
        &[
            0.0, 0.2, 0.4, 1.0, // 1st tile, row by row
            1.0, 0.8, -3.0, 7.0, // what is out of range is cut
            0.6, 0.6, 0.6, 0.6,
        ],
    );
    let layout = Layout {
        tile: (2, 2),
        columns: 2,
        zoom: 3,
        contrast: Contrast::Unit,
    };
    let tiles = Picture::tiles(&images, layout).unwrap();
    assert_eq!((tiles.width, tiles.height), (13, 13));
    let path = output("new/folder/tiles.png");
    tiles.save(&path).unwrap();
    let read = photographs::read_png(&path).unwrap();
    assert_eq!(read.shape(), (13 + 16, 13 + 16));
    let at = |row: usize, column: usize| read[(8 + row, 8 + column)];
    assert_relative_eq!(at(0, 0), 0.0);
    assert_relative_eq!(at(2, 3), 0.2);
    assert_relative_eq!(at(3, 2), 0.4);
    assert_relative_eq!(at(5, 5), 1.0);
    assert_relative_eq!(at(3, 7), 0.0);
    assert_relative_eq!(at(3, 10), 1.0);
    assert_relative_eq!(at(12, 0), 0.6);
    let background = read[(0, 0)];
    assert!((0.3..0.5).contains(&background));
    for (row, column) in [(6, 0), (0, 6), (12, 12)] {
        assert_relative_eq!(at(row, column), background);
    }

    let error = photographs::read_png(output("missing.png")).unwrap_err();
    assert!(error.to_string().contains("missing.png"));
    assert!(
        Picture::tiles(
            &images,
            Layout {
                tile: (3, 2),
                ..layout
            }
        )
        .is_err()
    );
}

#[test]
fn weights_are_scaled_by_tile_around_mid_grey() {
    let weights = DMatrix::from_column_slice(2, 3, &[0.0, 0.001, -50.0, 25.0, 0.0, 0.0]);
    let layout = Layout {
        tile: (1, 2),
        columns: 3,
        zoom: 1,
        contrast: Contrast::Symmetric,
    };
    let path = output("weights.png");
    Picture::tiles(&weights, layout)
        .unwrap()
        .save(&path)
        .unwrap();
    let row = photographs::read_png(&path)
        .unwrap()
        .row(8)
        .map(|gray| gray * 255.0);
    let tiles = [8, 9, 11, 12, 14, 15].map(|column| row[column]);
    let expected = [128.0_f32, 255.0, 0.0, 191.0, 128.0, 128.0];
    assert_relative_eq!(tiles.as_slice(), expected.as_slice(), epsilon = 1e-4);
}

#[test]
fn pictures_stack() {
    let digits = digits::load().unwrap().samples;
    let layout = Layout {
        tile: (8, 8),
        columns: 20,
        zoom: 4,
        contrast: Contrast::Unit,
    };
    let digits = digits.columns(0, 20).into_owned();
    let originals = Picture::tiles(&digits, layout).unwrap();
    let darker = Picture::tiles(&(0.5 * &digits), layout).unwrap();
    let stack = Picture::stack(&[originals.clone(), darker]);
    assert_eq!(stack.width, originals.width);
    assert_eq!(stack.height, 2 * originals.height + 4);
    stack.save(output("stack.png")).unwrap();
}

#[test]
fn colors_become_their_luminance() {
    for (color, pixels, expected) in [
        (
            png::ColorType::Rgb,
            &[255_u8, 0, 0, 0, 255, 0] as &[u8],
            [54.0_f32, 182.0],
        ),
        (
            png::ColorType::Rgba,
            &[0, 0, 255, 9, 80, 80, 80, 255],
            [18.0, 80.0],
        ),
        (
            png::ColorType::GrayscaleAlpha,
            &[3, 0, 200, 255],
            [3.0, 200.0],
        ),
    ] {
        let path = output(&format!("{color:?}.png"));
        let file = std::fs::File::create(&path).unwrap();
        let mut encoder = png::Encoder::new(file, 2, 1);
        encoder.set_color(color);
        encoder
            .write_header()
            .unwrap()
            .write_image_data(pixels)
            .unwrap();
        let gray = photographs::read_png(&path).unwrap() * 255.0;
        assert_eq!(gray.shape(), (1, 2));
        assert_relative_eq!(gray.as_slice(), expected.as_slice(), epsilon = 1e-4);
    }
}

#[test]
fn figures_are_spread_over_seeds() {
    let (mean, deviation) = report::mean_and_deviation(&[1.0, 2.0, 3.0, 4.0]);
    assert_relative_eq!(mean, 2.5);
    assert_relative_eq!(deviation, (5.0_f64 / 3.0).sqrt());
    assert_eq!(report::mean_and_deviation(&[7.0]), (7.0, 0.0));
}

#[test]
fn principal_components_are_orthogonal_uncorrelated_and_sorted_and_lose_least() {
    let digits = digits::load().unwrap().samples;
    let pca = Pca::fit(&digits);
    let count = digits.ncols() as f32;
    let codes = pca.encode(&digits, 64);
    let covariance = &codes * codes.transpose() / count;
    for i in 0..64 {
        assert!(i == 0 || covariance[(i, i)] <= covariance[(i - 1, i - 1)] + 1e-5);
        for j in 0..i {
            assert!(covariance[(i, j)].abs() < 1e-4, "{i} {j}");
        }
    }
    // What the components left out would have carried is lost, and nothing else.
    for kept in [0, 2, 8, 64] {
        let code = pca.encode(&digits, kept);
        assert_relative_eq!(code, codes.rows(0, kept).into_owned(), epsilon = 1e-4);
        let lost = (pca.decode(&code) - &digits).norm_squared() / count;
        let variance = (kept..64).map(|i| covariance[(i, i)]).sum::<f32>();
        assert_relative_eq!(lost, variance, epsilon = 1e-4, max_relative = 1e-3);
    }
}

#[test]
fn neighbors_are_those_of_all_distances_sorted() {
    let digits = digits::load().unwrap().samples;
    let (references, queries) = digits.columns_range_pair(..1500, 1500..);
    let references = references.into_owned();
    let indices = (0..1500).collect::<Vec<_>>(); // a label of its own for each
    let nearest = Neighbors::new(&references, &indices).nearest(&queries.into_owned(), 4);
    assert_eq!(nearest.shape(), (4, 297));
    for (nearest, query) in nearest.column_iter().zip(queries.column_iter()) {
        // Sums of squares of sixteenths: exact, so ties are ties, and the order of the rest is sure.
        let distance = |index: usize| (references.column(index) - query).norm_squared();
        let mut all = indices.clone();
        all.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)));
        assert_eq!(nearest.as_slice(), &all[..4]);
    }

    let votes = DMatrix::from_column_slice(4, 3, &[1, 2, 2, 1, 3, 1, 1, 2, 2, 3, 3, 2]);
    let right = |k| (3.0 * neighbors::accuracy(&votes, k, &[1, 1, 3])).round();
    assert_relative_eq!(right(1), 1.0); // 1, 3, 2
    assert_relative_eq!(right(3), 2.0); // 2, 1, 3
    assert_relative_eq!(right(4), 2.0); // 1 before 2, 1, 2 before 3
}

#[test]
fn a_map_has_every_point_and_its_class() {
    let points = DMatrix::from_fn(2, 30, |axis, j| (j * (axis + 1) % 7) as f32);
    let classes = (0..30).map(|j| j % 3).collect::<Vec<_>>();
    let map = || Map {
        title: "a map",
        axes: ["one axis", "another"],
        points: &points,
        classes: &classes,
    };
    let path = output("charts/maps.svg");
    chart::maps(&path, &[map(), map()]).unwrap();
    let svg = std::fs::read_to_string(path).unwrap();
    assert!(svg.ends_with("</svg>") || svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("<path").count(), 2 * 3);
    assert_eq!(svg.matches("h0").count(), 2 * 30);
    for text in ["a map", "one axis", "another"] {
        assert_eq!(svg.matches(text).count(), 2, "{text}");
    }
}

#[test]
fn contributions_add_up_to_the_score_and_small_ones_share_a_bar() {
    let path = output("charts/contributions.svg");
    let part = |k: u32| Part {
        name: format!("feature {k}"),
        contribution: f64::from(k) / 10.0,
        marked: k == 10,
    };
    contributions::stacked(&path, "title", (1..=10).map(part).collect()).unwrap();
    let svg = std::fs::read_to_string(path).unwrap();
    let is_shown = |text: &str| svg.lines().any(|line| line.trim() == text);
    for text in [
        "feature 10",
        "1.00",
        "feature 3",
        "2 others",
        "score",
        "5.50",
    ] {
        assert!(is_shown(text), "{text}");
    }
    assert!(!is_shown("feature 2"));
}
