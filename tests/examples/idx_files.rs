//! The reader of MNIST files, and what it says of damaged ones.

#[path = "../../examples/data/idx.rs"]
mod idx;

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use idx::Problem;

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("idx")
        .join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder("files").join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn content(sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut content = vec![0, 0, 8, u8::try_from(sizes.len()).unwrap()];
    content.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    content.extend(bytes);
    content
}

fn problem(name: &str, bytes: &[u8], dimensions: u8) -> Problem {
    let path = file(name, bytes);
    let error = idx::read(&path, dimensions).unwrap_err();
    assert_eq!(error.path, path);
    assert!(error.to_string().contains(name), "{error}");
    error.problem
}

#[test]
fn plain_and_compressed_files_are_read_alike() {
    let bytes = content(&[2, 1, 3], &[1, 2, 3, 4, 5, 255]);
    for (name, bytes) in [("plain", bytes.clone()), ("compressed.gz", gzip(&bytes))] {
        let idx = idx::read(&file(name, &bytes), 3).unwrap();
        assert_eq!(idx.sizes, [2, 1, 3]);
        assert_eq!(idx.bytes, [1, 2, 3, 4, 5, 255]);
    }
}

#[test]
fn mnist_is_found_under_its_names() {
    let folder = folder("mnist");
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    let pictures = content(&[3, 2, 2], &[0, 51, 102, 153, 204, 255, 0, 0, 0, 0, 0, 0]);
    write("train-images-idx3-ubyte", &pictures);
    write(
        "train-labels-idx1-ubyte.gz",
        &gzip(&content(&[3], &[7, 5, 9])),
    );
    write("t10k-images-idx3-ubyte.gz", &gzip(&pictures));
    write("t10k-labels-idx1-ubyte", &content(&[3], &[0, 1, 2]));
    let (training, test) = idx::mnist(&folder).unwrap();
    assert_eq!(training.samples.shape(), (4, 3));
    assert_eq!(
        training.samples.as_slice()[..6],
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    );
    assert_eq!(
        (training.labels.as_slice(), test.labels.as_slice()),
        (&[7, 5, 9][..], &[0, 1, 2][..])
    );
    let some = training.select(|index, label| index > 0 && label > 5);
    assert_eq!((some.samples.ncols(), some.labels), (1, vec![9]));
}

#[test]
fn every_damage_is_named() {
    let good = content(&[2, 1, 2], &[1, 2, 3, 4]);
    assert!(matches!(
        problem("labels", &content(&[4], &[1, 2, 3, 4]), 3),
        Problem::Magic {
            actual: [0, 0, 8, 1],
            ..
        }
    ));
    assert!(matches!(
        problem("floats", &[0, 0, 13, 3, 0, 0], 3),
        Problem::Magic { .. }
    ));
    assert!(matches!(problem("empty", &[], 3), Problem::Header));
    assert!(matches!(
        problem("no-sizes", &good[..9], 3),
        Problem::Header
    ));
    assert!(matches!(
        problem("cut", &good[..19], 3),
        Problem::Cut {
            expected: 4,
            actual: 3
        }
    ));
    let huge = content(&[u32::MAX, 1, 2], &[1]);
    assert!(matches!(
        problem("claims", &huge, 3),
        Problem::Cut { actual: 1, .. }
    ));
    let longer = [&good[..], &[0]].concat();
    assert!(matches!(
        problem("longer", &longer, 3),
        Problem::Excess { expected: 4 }
    ));
    let absurd = content(&[u32::MAX; 3], &[]);
    assert!(matches!(problem("absurd", &absurd, 3), Problem::Sizes(_)));

    let compressed = gzip(&content(&[1, 28, 28], &[9; 784]));
    let cut = &compressed[..compressed.len() - 10];
    assert!(matches!(problem("cut.gz", cut, 3), Problem::Io(_)));
    let mut flipped = compressed.clone();
    let checksum = flipped.len() - 6;
    flipped[checksum] ^= 1;
    assert!(matches!(problem("flipped.gz", &flipped, 3), Problem::Io(_)));
    let missing = idx::read(Path::new("/no/such/file"), 1).unwrap_err();
    assert!(matches!(missing.problem, Problem::Io(_)));
}

#[test]
fn labels_must_be_digits_one_for_each_picture() {
    let pictures = file("pictures", &content(&[2, 1, 1], &[1, 2]));
    let three = file("three", &content(&[3], &[1, 2, 3]));
    let error = idx::labelled(&pictures, &three).unwrap_err();
    assert!(
        matches!(
            error.problem,
            Problem::Labels {
                labels: 3,
                pictures: 2
            }
        ),
        "{error}"
    );
    let ten = file("ten", &content(&[2], &[1, 10]));
    let error = idx::labelled(&pictures, &ten).unwrap_err();
    assert!(
        matches!(
            error.problem,
            Problem::Label {
                label: 10,
                index: 1
            }
        ),
        "{error}"
    );
}
