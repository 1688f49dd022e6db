//! Tests of the reader of MNIST files.

use std::io::Write;
use std::path::{Path, PathBuf};

use experiments::mnist;
use flate2::Compression;
use flate2::write::GzEncoder;

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("mnist")
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
    let (training, test) = mnist::read(&folder).unwrap();
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
fn damaged_archives_are_refused_by_their_name() {
    let labels = file("label", &content(&[1], &[1]));
    let compressed = gzip(&content(&[1, 28, 28], &[9; 784]));
    let cut = compressed[..compressed.len() - 10].to_vec();
    let mut flipped = compressed.clone();
    let checksum = flipped.len() - 6;
    flipped[checksum] ^= 1;
    for (name, bytes) in [("cut.gz", cut), ("flipped.gz", flipped)] {
        let error = mnist::labeled(&file(name, &bytes), &labels).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
    let missing = mnist::labeled(Path::new("/no/such/file"), &labels).unwrap_err();
    assert!(missing.to_string().contains("/no/such/file"), "{missing}");
    let whole = file("whole.gz", &compressed);
    assert_eq!(mnist::labeled(&whole, &labels).unwrap().labels, [1]);
}

#[test]
fn labels_must_be_digits_one_for_each_picture() {
    let pictures = file("pictures", &content(&[2, 1, 1], &[1, 2]));
    for (labels, says) in [
        (&[1, 2, 3][..], "3 labels for 2 pictures"),
        (&[1, 10], "label 10 at 1"),
    ] {
        let count = u32::try_from(labels.len()).unwrap();
        let labels = file("labels", &content(&[count], labels));
        let error = mnist::labeled(&pictures, &labels).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}
