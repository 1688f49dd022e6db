//! Samples in files and in streams: what is read, in which order, and what is refused.

#![allow(clippy::float_cmp)] // small whole numbers, which are kept as they are

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;

use crate::common::file_bytes::{header, idx, npy_f64, npy_with};
use rand::{RngExt, SeedableRng};
use sparse_autoencoder::nalgebra::{DMatrix, DVector, Matrix2x3};
use sparse_autoencoder::{
    Error, IdxFile, Imputer, Joined, NpyFile, Pairs, Samples, Scaling, Shards, ShuffleBuffer,
    SparseAutoencoder, Subset,
};

use crate::common::cases::{Rng, check};

fn open(header: &str, data: &[u8]) -> Result<NpyFile<f64>, Error> {
    NpyFile::from_bytes("in memory", npy_with(header, data))
}

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Samples that tell their place: entry `i` of sample `j`.
fn numbered(input_size: usize, count: usize) -> DMatrix<f64> {
    DMatrix::from_fn(input_size, count, |i, j| (j * input_size + i) as f64)
}

#[test]
fn all_types_are_read() {
    for (kind, data) in [
        ("<f2", [0x3e00_u16, 0xc000].map(u16::to_le_bytes).concat()),
        ("<f4", [1.5_f32, -2.0].map(f32::to_le_bytes).concat()),
        ("<f8", [1.5_f64, -2.0].map(f64::to_le_bytes).concat()),
    ] {
        let read = open(&header(kind, false, &[2]), &data).unwrap();
        assert_eq!(read.to_matrix().unwrap().as_slice(), [1.5, -2.0], "{kind}");
    }
    for (kind, data, second) in [
        ("|u1", vec![3, 255], 255.0),
        ("|i1", vec![3, 255], -1.0),
        ("<i4", [3_i32, -7].map(i32::to_le_bytes).concat(), -7.0),
        ("<i8", [3_i64, -7].map(i64::to_le_bytes).concat(), -7.0),
    ] {
        let read = open(&header(kind, false, &[2]), &data).unwrap();
        assert_eq!(
            read.to_matrix().unwrap().as_slice(),
            [3.0, second],
            "{kind}"
        );
    }
    for kind in ["<U4", "<c16", "|V2", "|O", "<M8[ns]", "<f16"] {
        let error = open(&header(kind, false, &[2]), &[0; 8]).unwrap_err();
        let Error::Unsupported { reason, .. } = error else {
            panic!("{kind}: {error:?}");
        };
        assert!(reason.contains(kind), "{reason}");
        assert!(reason.contains("unsupported; supported are"), "{reason}");
    }
}

/// Samples in any order, at any distances: some are read together with those between them.
#[test]
fn samples_are_those_of_their_indices_in_every_order_of_bytes_and_axes() {
    let mut rng = Rng::seed_from_u64(1);
    for entries in [1, 3, 300, 3000] {
        let count = 12_000 / entries.max(3);
        let samples = DMatrix::from_fn(entries, count, |i, j| ((i * 31 + j * 17) % 251) as f32);
        let mut chosen = Vec::new();
        for distance in [1, 2, 5, 30, 2000] {
            let mut index = 0;
            while index < count {
                chosen.push(index);
                index += rng.random_range(1..=distance);
            }
        }
        chosen.extend((0..count).rev());
        chosen.extend([count - 1; 3]);
        let expected = samples.select_columns(&chosen);
        let mut read = DMatrix::zeros(entries, chosen.len());
        let shape = [count, entries];
        for (fortran, numbers) in [(false, &samples), (true, &samples.transpose())] {
            let bytes = |bytes: fn(&f32) -> Vec<u8>| numbers.iter().flat_map(bytes).collect();
            let kinds: [(&str, Vec<u8>); 4] = [
                ("<f4", bytes(|x| x.to_le_bytes().to_vec())),
                (">f4", bytes(|x| x.to_be_bytes().to_vec())),
                ("|u1", bytes(|x| vec![*x as u8])),
                (">i2", bytes(|x| (*x as i16).to_be_bytes().to_vec())),
            ];
            for (kind, data) in kinds {
                let path = file(
                    "distances.npy",
                    &npy_with(&header(kind, fortran, &shape), &data),
                );
                let open = NpyFile::<f32>::open(path).unwrap();
                read.fill(f32::NAN);
                open.read(&chosen, read.as_mut_slice()).unwrap();
                assert!(read == expected, "{kind}, Fortran: {fortran}, {entries}");
            }
        }
    }
}

/// Sources in memory, or computed, gain nothing by it.
#[test]
fn what_reads_open_files_is_read_ahead() {
    let samples = numbered(3, 8);
    let path = file("ahead.npy", &npy_f64(&samples));
    let open = NpyFile::<f64>::open(&path).unwrap();
    let in_memory = NpyFile::from_bytes(&path, npy_f64(&samples)).unwrap();
    let bytes = IdxFile::<f64>::open(file("ahead.idx", &idx(&[8], &[0; 8])));
    assert!(bytes.unwrap().reads_ahead());
    let scaler = Scaling::standard().fit(&samples).unwrap();
    let imputer = Imputer::fit(&samples).unwrap();
    let model = SparseAutoencoder::builder().layers([3, 4]).build().unwrap();
    let sources: [(&dyn Samples<f64>, bool); 3] =
        [(&open, true), (&in_memory, false), (&samples, false)];
    for (source, expected) in sources {
        let mixed = |first| Shards::new(vec![first, source]).unwrap();
        assert_eq!(source.reads_ahead(), expected);
        assert_eq!((&source).reads_ahead(), expected);
        assert_eq!(Arc::new(source).reads_ahead(), expected);
        assert_eq!(Subset::new(source, [1, 0]).unwrap().reads_ahead(), expected);
        assert_eq!(
            scaler.apply_on_read(source).unwrap().reads_ahead(),
            expected
        );
        assert_eq!(
            imputer.apply_on_read(source).unwrap().reads_ahead(),
            expected
        );
        assert_eq!(
            model.encode_on_read(source).unwrap().reads_ahead(),
            expected
        );
        assert_eq!(mixed(&samples).reads_ahead(), expected);
        for pair in [[source, &samples], [&samples, source]] {
            assert_eq!(Joined::new(pair.to_vec()).unwrap().reads_ahead(), expected);
            assert_eq!(
                Pairs::new(pair[0], pair[1]).unwrap().reads_ahead(),
                expected
            );
        }
    }
}

#[test]
fn numbers_are_the_same_in_every_order_of_bytes_and_axes() {
    let samples = DMatrix::from_fn(3, 50, |i, j| (i as f32 - 0.3) * (j as f32 - 7.7));
    let other = samples.transpose();
    let exact = samples.map(f64::from);
    for (fortran, numbers) in [(false, &samples), (true, &other)] {
        let little: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        let big: Vec<u8> = numbers.iter().flat_map(|x| x.to_be_bytes()).collect();
        for (kind, data) in [("<f4", little), (">f4", big)] {
            let bytes = npy_with(&header(kind, fortran, &[50, 3]), &data);
            let path = file("every-order.npy", &bytes);
            let what = format!("{kind}, Fortran: {fortran}");
            assert_eq!(NpyFile::<f32>::load(&path).unwrap(), samples, "{what}");
            assert_eq!(NpyFile::<f64>::load(&path).unwrap(), exact, "{what}");
        }
    }
}

#[test]
fn contents_are_taken_from_any_owner_of_bytes() {
    static LABELS: [u8; 11] = [0, 0, 8, 1, 0, 0, 0, 3, 7, 0, 9];
    let labels = IdxFile::<f32>::from_bytes("labels", &LABELS[..]).unwrap();
    assert_eq!(labels.to_bytes().unwrap(), [7, 0, 9]);
    let samples = numbered(3, 4);
    let bytes: Arc<[u8]> = npy_f64(&samples).into();
    let read = NpyFile::<f64>::from_bytes("shared", Arc::clone(&bytes)).unwrap();
    assert_eq!(read.to_matrix().unwrap(), samples);
    let error = NpyFile::<f64>::from_bytes("cut off", bytes[..100].to_vec()).unwrap_err();
    assert!(error.to_string().contains("cut off"), "{error}");
}

#[test]
fn the_first_axis_counts_the_samples() {
    let data: Vec<u8> = (0..24).collect();
    for shape in [&[24][..], &[6, 4], &[2, 3, 4], &[2, 1, 1, 12]] {
        let read = open(&header("|u1", false, shape), &data).unwrap();
        assert_eq!(read.shape(), shape);
        assert_eq!((read.count(), read.entries()), (shape[0], 24 / shape[0]));
        let expected = numbered(24 / shape[0], shape[0]);
        assert_eq!(read.to_matrix().unwrap(), expected, "{shape:?}");
    }
    let without_samples = open(&header("|u1", false, &[0, 4]), &[]).unwrap();
    assert_eq!(without_samples.to_matrix().unwrap().shape(), (4, 0));
}

#[test]
fn the_long_headers_of_later_versions_are_read() {
    let text = header("|u1", false, &[2, 2]);
    for version in [2, 3] {
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend([version, 0]);
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.extend([0, 1, 2, 3]);
        let read = NpyFile::<f64>::from_bytes("in memory", bytes).unwrap();
        assert_eq!(read.to_matrix().unwrap(), numbered(2, 2));
    }
}

#[test]
fn the_order_of_fortran_is_read_in_any_order_of_samples() {
    // More neighbors than are read at a time.
    let (input_size, count) = (3, 5000);
    let samples = numbered(input_size, count);
    let data: Vec<u8> = samples
        .transpose()
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let read = open(&header("<f8", true, &[count, input_size]), &data).unwrap();
    assert_eq!(read.to_matrix().unwrap(), samples);
    let indices = [4999, 3, 4, 5, 0];
    let mut batch = vec![0.0; input_size * indices.len()];
    read.read(&indices, &mut batch).unwrap();
    assert_eq!(batch, samples.select_columns(&indices).as_slice());
    assert!(matches!(
        open(&header("<f8", true, &[count, input_size, 1]), &data),
        Err(Error::Unsupported { .. })
    ));
}

#[test]
fn bytes_of_idx_are_scaled_as_one_divides() {
    let bytes: Vec<u8> = (0..=255).collect();
    let path = file("scaled-idx", &idx(&[8, 4, 8], &bytes));
    let read = IdxFile::<f32>::open(&path).unwrap();
    assert_eq!(read.shape(), [8, 4, 8]);
    let expected: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect();
    assert_eq!(
        read.to_matrix().unwrap(),
        DMatrix::from_vec(32, 8, expected)
    );
    assert_eq!(read.to_bytes().unwrap(), bytes);
    let labels = IdxFile::<f32>::from_bytes("labels", idx(&[3], &[7, 0, 9])).unwrap();
    assert_eq!(labels.to_bytes().unwrap(), [7, 0, 9]);
}

#[test]
fn damaged_files_are_refused_by_their_name() {
    let good = npy_f64(&numbered(3, 2));
    for len in 0..good.len() {
        let error = NpyFile::<f64>::from_bytes("a.npy", good[..len].to_vec()).unwrap_err();
        assert!(matches!(&error, Error::Malformed { .. }), "{len}: {error}");
        assert!(error.to_string().contains("a.npy"));
    }
    let longer = [&good[..], &[0]].concat();
    assert!(NpyFile::<f64>::from_bytes("a.npy", longer).is_err());
    for shape in [&[][..], &[2, 0], &[0, 0], &[2, 3, 0]] {
        let error = open(&header("|u1", false, shape), &[]).unwrap_err();
        assert!(
            matches!(error, Error::Malformed { .. }),
            "{shape:?}: {error}"
        );
    }

    let good = idx(&[2, 1, 2], &[1, 2, 3, 4]);
    IdxFile::<f32>::from_bytes("an-idx", good.clone()).unwrap();
    for len in 0..good.len() {
        let error = IdxFile::<f32>::from_bytes("an-idx", good[..len].to_vec()).unwrap_err();
        assert!(matches!(&error, Error::Malformed { .. }), "{len}: {error}");
        assert!(error.to_string().contains("an-idx"));
    }
    for (bytes, supported) in [
        ([&good[..], &[0]].concat(), true),
        (idx(&[u32::MAX; 3], &[]), true),
        (idx(&[], &[]), true),
        (vec![0, 0, 13, 1, 0, 0, 0, 1, 0, 0, 0, 0], false),
    ] {
        let error = IdxFile::<f32>::from_bytes("an-idx", bytes).unwrap_err();
        assert_eq!(
            matches!(error, Error::Malformed { .. }),
            supported,
            "{error}"
        );
        assert_eq!(matches!(error, Error::Unsupported { .. }), !supported);
    }
    let missing = NpyFile::<f32>::open("/no/such/file").unwrap_err();
    assert!(matches!(missing, Error::Io { .. }), "{missing}");
}

#[test]
fn a_file_that_shrinks_is_an_error_of_the_system() {
    let path = file("shrinks.npy", &npy_f64(&numbered(3, 40)));
    let read = NpyFile::<f64>::open(&path).unwrap();
    std::fs::write(&path, [0; 200]).unwrap();
    assert!(matches!(read.to_matrix(), Err(Error::Io { .. })));
}

#[test]
fn wrong_reads_are_refused() {
    let samples = numbered(3, 4);
    let read = NpyFile::<f64>::from_bytes("a", npy_f64(&samples)).unwrap();
    for samples in [&samples as &dyn Samples<f64>, &read] {
        let mut batch = [-1.0; 6];
        assert!(matches!(
            samples.read(&[0, 4], &mut batch),
            Err(Error::InvalidParameter { value: 4.0, .. })
        ));
        assert!(matches!(
            samples.read(&[0], &mut batch),
            Err(Error::DimensionMismatch {
                expected: 3,
                actual: 6,
                ..
            })
        ));
        samples.read(&[3, 1], &mut batch).unwrap();
        assert_eq!(batch, [9.0, 10.0, 11.0, 3.0, 4.0, 5.0]);
    }
}

#[test]
fn whatever_is_a_matrix_is_samples() {
    fn sum(samples: impl Samples<f64>) -> f64 {
        samples.to_matrix().unwrap().sum()
    }
    let all = numbered(3, 10);
    assert_eq!(sum(&all), 435.0);
    assert_eq!(sum(all.as_view()), 435.0); // and its type is inferred
    assert_eq!(sum(all.columns(1, 2)), 33.0);
    assert_eq!(sum(all.view((1, 0), (1, 2))), 5.0);
    assert_eq!(sum(all.columns_with_step(0, 2, 1)), 24.0);
    assert_eq!(sum(DVector::from_element(3, 2.0)), 6.0);
    assert_eq!(sum(Matrix2x3::repeat(1.0)), 6.0);
    assert_eq!(sum(std::sync::Arc::new(all.clone())), 435.0);
    let boxed: Box<dyn Samples<f64> + Send> = Box::new(all);
    assert_eq!(boxed.batches(4).count(), 3);
    assert_eq!(sum(boxed), 435.0);
}

#[test]
fn batches_come_in_order() {
    let samples = numbered(3, 10);
    let read = NpyFile::<f64>::open(file("batches.npy", &npy_f64(&samples))).unwrap();
    for size in [1, 3, 5, 10, 11, usize::MAX] {
        let mut next = 0;
        for batch in read.batches(size) {
            let batch = batch.unwrap();
            assert_eq!(batch, samples.columns(next, size.min(10 - next)));
            next += batch.ncols();
        }
        assert_eq!(next, 10);
    }
    let mut none = read.batches(0);
    assert!(matches!(
        none.next(),
        Some(Err(Error::InvalidParameter { .. }))
    ));
    assert!(none.next().is_none());
}

fn shuffled(chunk: usize, capacity: usize, batch_size: usize, seed: u64) -> Vec<DMatrix<f64>> {
    let samples = numbered(2, 100);
    let buffer = ShuffleBuffer::new(samples.batches(chunk), capacity).unwrap();
    let buffer = buffer.batch_size(batch_size).unwrap().seed(seed);
    buffer.map(Result::unwrap).collect()
}

fn order(batches: &[DMatrix<f64>]) -> Vec<usize> {
    let columns = batches.iter().flat_map(DMatrix::column_iter);
    let order = columns.map(|sample| {
        assert_eq!(sample[1], sample[0] + 1.0, "samples stay whole");
        sample[0] as usize / 2
    });
    order.collect()
}

#[test]
fn a_shuffle_buffer_gives_every_sample_once() {
    let draw = |rng: &mut Rng| {
        let sizes = [120, 150, 150].map(|end| rng.random_range(1..end));
        (sizes, rng.random())
    };
    check(64, draw, |([chunk, capacity, batch_size], seed)| {
        let batches = shuffled(chunk, capacity, batch_size, seed);
        assert_eq!(batches.len(), 100_usize.div_ceil(batch_size));
        let full = &batches[..batches.len() - 1];
        assert!(full.iter().all(|b| b.ncols() == batch_size));
        let mut order = order(&batches);
        for (place, &sample) in order.iter().enumerate() {
            assert!(
                sample < place + capacity,
                "drawn before it could be in the buffer"
            );
        }
        assert_eq!(
            batches,
            shuffled(1, capacity, batch_size, seed),
            "cut otherwise"
        );
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    });
}

#[test]
fn the_order_of_a_shuffle_buffer_is_that_of_its_seed() {
    assert_eq!(shuffled(7, 40, 9, 1), shuffled(7, 40, 9, 1));
    assert_ne!(order(&shuffled(7, 40, 9, 1)), order(&shuffled(7, 40, 9, 2)));
    let in_order: Vec<usize> = (0..100).collect();
    assert_ne!(order(&shuffled(7, 40, 9, 1)), in_order);
    assert_eq!(order(&shuffled(7, 1, 9, 1)), in_order); // nothing to choose from
}

#[test]
fn a_buffer_for_everything_is_a_fair_shuffle() {
    // How often each sample comes first: 4000 draws from 100, of variance 39.6.
    let mut first = vec![0.0; 100];
    for seed in 0..4000 {
        first[order(&shuffled(100, 100, 1, seed)[..1])[0]] += 1.0;
    }
    let chi_squared: f64 = first.iter().map(|n| (n - 40.0_f64).powi(2) / 40.0).sum();
    assert!(chi_squared < 160.0, "{chi_squared}"); // 99 degrees of freedom: one in 10,000
}

#[test]
fn a_stream_goes_on_after_an_error_without_a_loss() {
    let samples = numbered(2, 30);
    let chunks = [
        Ok(samples.columns(0, 12).into_owned()),
        Err(std::io::Error::other("the line is down").into()),
        Ok(DMatrix::zeros(3, 1)),
        Ok(DMatrix::zeros(0, 5)),
        Ok(samples.columns(12, 18).into_owned()),
    ];
    let (mut errors, mut batches) = (Vec::new(), Vec::new());
    for batch in ShuffleBuffer::new(chunks, 10)
        .unwrap()
        .batch_size(5)
        .unwrap()
    {
        match batch {
            Ok(batch) => batches.push(batch),
            Err(error) => errors.push(error.to_string()),
        }
    }
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(errors[0].contains("the line is down"), "{errors:?}");
    assert!(errors[1].contains("rows of a chunk"), "{errors:?}");
    let mut order = order(&batches);
    order.sort_unstable();
    assert_eq!(order, (0..30).collect::<Vec<_>>());
}

/// A batch is given when it is complete: before the next chunk is asked for, which may fail, or wait for what is done
/// with the batch.
#[test]
fn a_complete_batch_does_not_wait_for_the_next_chunk() {
    let samples = numbered(3, 40);
    for chunk in [1, 2, 3, 5, 10, 15] {
        let asked = Cell::new(0);
        let chunks = samples
            .batches(chunk)
            .inspect(|_| asked.set(asked.get() + 1));
        let failed = std::iter::once(Err(Error::from(std::io::Error::other("the end"))));
        let buffer = ShuffleBuffer::new(chunks.chain(failed), 5).unwrap();
        let mut batches = 0;
        for batch in buffer.batch_size(5).unwrap() {
            if batch.is_err() {
                break;
            }
            batches += 1;
            // A buffer of 5 samples, and those drawn.
            assert_eq!(
                asked.get(),
                (5 + 5 * batches as usize).div_ceil(chunk),
                "{chunk}"
            );
        }
        assert_eq!(batches, 7, "{chunk}");
    }
}

#[test]
fn chunks_that_cannot_fail_need_no_result() {
    let samples = numbered(2, 100);
    let parts = [samples.columns(0, 12), samples.columns(12, 88)];
    let chunks = parts.map(|part| part.into_owned());
    let buffer = ShuffleBuffer::new(chunks, 10).unwrap().seed(3);
    let batches = buffer.batch_size(7).unwrap().map(Result::unwrap);
    assert_eq!(batches.collect::<Vec<_>>(), shuffled(30, 10, 7, 3));
}

#[test]
fn a_shuffle_buffer_without_room_is_refused() {
    let chunks = || std::iter::empty::<Result<DMatrix<f32>, Error>>();
    assert!(ShuffleBuffer::new(chunks(), 0).is_err());
    let buffer = ShuffleBuffer::new(chunks(), 1).unwrap();
    assert!(buffer.clone().batch_size(0).is_err());
    assert_eq!(buffer.count(), 0);
}
