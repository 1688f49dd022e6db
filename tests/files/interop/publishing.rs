//! Models that are saved in the forms of other libraries, and loaded again.

use super::*;
use crate::common::variants::ACTIVATIONS;
use sparse_autoencoder::files::Number;
use sparse_autoencoder::nalgebra::DVector;
use sparse_autoencoder::{Layout, Scaler};

/// A model without a zero anywhere.
fn model<T: Real>(activation: Activation, centered: bool) -> SparseAutoencoder<T> {
    let mut model = SparseAutoencoder::builder()
        .layers([8, 16])
        .hidden_activation(activation)
        .output_activation(Activation::Identity)
        .pre_encoder_bias(centered)
        .penalty(())
        .seed(5)
        .build()
        .unwrap();
    let mut theta = model.parameters().as_slice().to_vec();
    for (index, value) in theta.iter_mut().enumerate() {
        *value += T::of(0.3 * (f64::of_count(index) * 0.7).sin());
    }
    model.set_theta(&theta).unwrap();
    model
}

fn samples<T: Real>() -> DMatrix<T> {
    DMatrix::from_fn(8, 20, |i, j| {
        T::of((f64::of_count(i * 20 + j) * 1.3).sin() * 1.5)
    })
}

/// Models of every activation, and the folders where `check_saved.py` looks for those that can be published.
fn models<T: Real>() -> impl Iterator<Item = (String, SparseAutoencoder<T>)> {
    let both = |&f: &Activation| {
        [("", true), ("_uncentered", false)]
            .map(|(ending, centered)| (format!("{f:?}{ending}"), model(f, centered)))
    };
    ACTIVATIONS.iter().flat_map(both)
}

/// Whether the forms of files have a place for these units: they are positive and unbounded.
fn is_published<T: Real>(model: &SparseAutoencoder<T>) -> bool {
    let activation = model.hidden_activations()[0];
    activation.is_non_negative() && activation.range().is_none()
}

#[test]
fn what_is_saved_is_loaded_again() {
    let scratch = Scratch::new("again");
    let mut published = 0;
    for (name, model) in models::<f32>() {
        let folder = scratch.0.join(&name);
        let has_signs = matches!(model.hidden_activations()[0], Activation::AbsTopK(_));
        if !is_published(&model) && !has_signs {
            unsupported(sae_lens::save(&model, &folder));
            continue;
        }
        published += 1;
        sae_lens::save(&model, &folder).unwrap();
        let again = sae_lens::load::<f32>(&folder).unwrap();
        assert_eq!(again.notes, []);
        // A threshold of all units becomes one of each.
        let before = Layout::new(&[8, 16], false).unwrap().len();
        let learned = |model: &SparseAutoencoder<f32>| {
            let theta = model.parameters().as_slice();
            match model.layout().len() - before {
                1 => theta[..before].to_vec(),
                _ => theta.to_vec(),
            }
        };
        let learned = learned(&model);
        let loaded = &again.model.parameters().as_slice()[..learned.len()];
        assert_eq!(loaded, learned, "{name}");
        let hidden = model.encode(samples()).unwrap();
        assert_eq!(again.model.encode(samples()).unwrap(), hidden, "{name}");
        assert_eq!(again.model.decode(&hidden), model.decode(&hidden), "{name}");
    }
    assert!(published >= 8 * 2, "{published}");
    let mut published = 0;
    for (name, model) in models::<f64>() {
        let folder = scratch.0.join("sparsify").join(&name);
        if !is_published(&model) || model.hidden_activations()[0].kept(16).is_none() {
            unsupported(sparsify::save(&model, &folder));
            continue;
        }
        published += 1;
        sparsify::save(&model, &folder).unwrap();
        let again = sparsify::load::<f64>(&folder).unwrap().model;
        let hidden = model.encode(samples()).unwrap();
        assert_close(&name, &again.encode(samples()).unwrap(), &hidden);
        let decoded = again.decode(&hidden).unwrap();
        assert_close(&name, &decoded, &model.decode(&hidden).unwrap());
    }
    assert!(published >= 2 * 2, "{published}");
}

/// Saves a model in the form of a project, `None` where that has no place for it.
type Save = fn(&SparseAutoencoder<f32>, &Path) -> Option<()>;

/// The other projects, by a name for a folder.
const OTHERS: [(&str, Save); 4] = [
    ("gemma_scope", |model, folder| {
        gemma_scope::save(model, folder).ok()
    }),
    ("gemma_scope_2", |model, folder| {
        gemma_scope::save_second(model, folder).ok()
    }),
    ("llama_scope", |model, folder| {
        llama_scope::save(model, folder).ok()
    }),
    ("dictionary_learning", |model, folder| {
        dictionary_learning::save(model, folder).ok().map(drop)
    }),
];

#[test]
fn what_is_saved_for_other_projects_is_loaded_again() {
    let scratch = Scratch::new("others");
    let mut counts = [0; OTHERS.len()];
    for (name, model) in models::<f32>() {
        for ((project, save), count) in OTHERS.into_iter().zip(&mut counts) {
            let folder = scratch.0.join(project).join(&name);
            if save(&model, &folder).is_none() {
                assert!(!folder.exists(), "{project}, {name}");
                continue;
            }
            *count += 1;
            assert!(is_published(&model), "{project}, {name}");
            let again = match project {
                "llama_scope" => llama_scope::load::<f32>(&folder),
                "dictionary_learning" => dictionary_learning::load::<f32>(&folder),
                _ => gemma_scope::load::<f32>(&folder),
            };
            let again = again.unwrap();
            assert_eq!(again.notes, []);
            let hidden = model.encode(samples()).unwrap();
            let encoded = again.model.encode(samples()).unwrap();
            assert_close(&name, &encoded, &hidden);
            let decoded = again.model.decode(&hidden).unwrap();
            assert_close(&name, &decoded, &model.decode(&hidden).unwrap());
        }
    }
    // Two kinds are of ReLU units, one has thresholds, and one has a single threshold; each of both centers.
    assert!(
        counts
            .iter()
            .zip([8, 8, 6, 14])
            .all(|(count, least)| *count >= least),
        "{counts:?}"
    );
}

#[test]
fn a_dictionary_of_batch_top_k_keeps_its_k() {
    let scratch = Scratch::new("k");
    let saved = model::<f64>(Activation::BatchTopK(3), true);
    let dictionary = dictionary_learning::save(&saved, &scratch.0).unwrap();
    assert_eq!(dictionary, Dictionary::BatchTopKSae);
    let again = dictionary_learning::load::<f64>(&scratch.0).unwrap().model;
    assert_eq!(again.hidden_activations(), [Activation::BatchTopK(3)]);
    assert_eq!(again.parameters(), saved.parameters());
}

#[test]
fn numbers_are_narrowed_and_whole_ones_kept() {
    let scratch = Scratch::new("narrow");
    let saved = model::<f64>(Activation::TopK(3), true);
    dictionary_learning::save(&saved, &scratch.0).unwrap();
    let weights = scratch.0.join("ae.safetensors");
    let length = || fs::metadata(&weights).unwrap().len();
    let whole = length();
    for (number, precision, bytes) in [
        (Number::F32, 1e-7, 4),
        (Number::F16, 1e-3, 2),
        (Number::F64, 1e-3, 8),
        (Number::BF16, 1e-2, 2),
    ] {
        files::convert(&weights, &weights, number).unwrap();
        // The parameters and a threshold; the header is a few bytes longer or shorter.
        let numbers = saved.parameters().as_slice().len() as u64 + 1;
        assert!(whole.abs_diff(length()).abs_diff(numbers * (8 - bytes)) < 32);
        let again = dictionary_learning::load::<f64>(&scratch.0).unwrap().model;
        assert_eq!(again.hidden_activations(), [Activation::TopK(3)]);
        let pairs = again
            .parameters()
            .as_slice()
            .iter()
            .zip(saved.parameters().as_slice());
        assert!(
            pairs
                .clone()
                .all(|(a, b)| (a - b).abs() <= precision * b.abs().max(1e-4))
        );
        assert!(pairs.clone().any(|(a, b)| (a - b).abs() > 0.0));
    }
    let mut large = model::<f64>(Activation::TopK(3), true);
    let mut theta = large.parameters().as_slice().to_vec();
    theta[5] = 7e4;
    large.set_theta(&theta).unwrap();
    dictionary_learning::save(&large, &scratch.0).unwrap();
    let before = fs::read(&weights).unwrap();
    let error = unsupported(files::convert(&weights, &weights, Number::F16));
    assert!(
        error.contains("70000") && error.contains("too large"),
        "{error}"
    );
    assert_eq!(fs::read(&weights).unwrap(), before);
}

#[test]
fn numbers_that_describe_samples_are_not_narrowed() {
    let scratch = Scratch::new("narrow-scaler");
    let path = scratch.0.join("scaler");
    let scaler = Scaler::<f64>::new(&[1.7e9], &[1e-8], &[0.0]).unwrap();
    files::save(&scaler, &path).unwrap();
    for number in [Number::F16, Number::BF16, Number::F32] {
        files::convert(&path, &path, number).unwrap();
        assert_eq!(files::load::<Scaler<f64>>(&path).unwrap().model, scaler);
    }
}

#[test]
fn a_0_in_a_foreign_scale_is_converted() {
    let scratch = Scratch::new("foreign-scale");
    let path = scratch.0.join("weights.safetensors");
    let header = r#"{"weight_scale":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend([0.0_f32, 1.0, 2.0].iter().flat_map(|x| x.to_le_bytes()));
    fs::write(&path, bytes).unwrap();
    files::convert(&path, &path, Number::BF16).unwrap();
    assert!(
        fs::read(&path)
            .unwrap()
            .ends_with(&[0, 0, 0x80, 0x3f, 0, 0x40])
    );
}

#[test]
fn missing_values_stay_missing_in_every_type() {
    let scratch = Scratch::new("missing");
    let path = scratch.0.join("table.safetensors");
    for number in [Number::F16, Number::BF16, Number::F32, Number::F64] {
        let header = r#"{"x":{"dtype":"F64","shape":[1,3],"data_offsets":[0,24]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(
            [f64::NAN, -f64::NAN, 2.5]
                .iter()
                .flat_map(|x| x.to_le_bytes()),
        );
        fs::write(&path, bytes).unwrap();
        files::convert(&path, &path, number).unwrap();
        let samples: DMatrix<f64> = TensorFile::open(&path).unwrap().samples("x").unwrap();
        assert!(samples[0].is_nan() && samples[1].is_nan(), "{number:?}");
        assert_eq!(samples[2].to_bits(), 2.5_f64.to_bits(), "{number:?}");
    }
}

#[test]
fn thresholds_below_0_are_saved_as_what_they_act_like() {
    let scratch = Scratch::new("negative-thresholds");
    let model = model::<f64>(Activation::JumpRelu, false);
    let mut parameters = model.parameters().clone();
    let units = model.layout().hidden_size();
    let thresholds: Vec<f64> = (0..units).map(|j| -0.1 * (j + 1) as f64).collect();
    parameters = parameters
        .with_block(0, "thresholds", &DVector::from_vec(thresholds))
        .unwrap();
    let mut model = model;
    model.set_theta(parameters.as_slice()).unwrap();
    llama_scope::save(&model, &scratch.0).unwrap();
    let again = llama_scope::load::<f64>(&scratch.0).unwrap().model;
    let x = DMatrix::from_fn(model.layout().input_size(), 30, |i, j| {
        ((i * 7 + j) as f64).sin()
    });
    let difference = again.encode(&x).unwrap() - model.encode(&x).unwrap();
    assert!(difference.amax() < 1e-12);
}

#[test]
fn the_place_in_a_network_is_saved_for_sae_lens() {
    let scratch = Scratch::new("place");
    let place = [
        ("hook_name", "blocks.8.hook_resid_pre"),
        ("sae_lens_version", "1"),
    ];
    sae_lens::save_with(&model::<f32>(Activation::TopK(3), true), &scratch.0, &place).unwrap();
    let text = fs::read(scratch.0.join("cfg.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(config["metadata"]["hook_name"], "blocks.8.hook_resid_pre");
    // Or the file would be read by the rules of another generation.
    assert_eq!(config["metadata"]["sae_lens_version"], "6.0.0");
    assert_eq!(sae_lens::load::<f32>(&scratch.0).unwrap().notes, []);
}

#[test]
fn a_model_without_a_place_in_the_files_is_not_saved() {
    let scratch = Scratch::new("no-place");
    let builder = SparseAutoencoder::<f32>::builder().layers([8, 16]);
    let sigmoid = builder
        .clone()
        .output_activation(Activation::Identity)
        .build()
        .unwrap();
    assert!(unsupported(sae_lens::save(&sigmoid, &scratch.0)).contains("Sigmoid"));
    let output = builder
        .clone()
        .hidden_activation(Activation::TopK(2))
        .build()
        .unwrap();
    assert!(unsupported(sae_lens::save(&output, &scratch.0)).contains("output activation"));
    let deep = builder.layers([8, 16, 4]).build().unwrap();
    assert!(unsupported(sparsify::save(&deep, &scratch.0)).contains("2 hidden layers"));
    // As the model has it, not as inference computes it.
    for activation in [Activation::BatchTopK(8), Activation::WinnerTakeAll(0.1)] {
        let refused = sparsify::save(&model::<f32>(activation, true), &scratch.0);
        assert!(unsupported(refused).contains(&format!("{activation:?}")));
    }
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 0);
}

/// Writes models for `check_saved.py`, which loads them by the original libraries.
#[test]
#[ignore = "writes into the folder INTEROP_SAVED, for interop/check_saved.py"]
fn save_for_the_original_libraries() {
    let root = PathBuf::from(std::env::var("INTEROP_SAVED").expect("INTEROP_SAVED is a folder"));
    for (name, model) in models::<f32>().chain(transcoders()) {
        let first: [(&str, Save); 2] = [
            ("sae_lens", |model, folder| {
                sae_lens::save(model, folder).ok()
            }),
            ("sparsify", |model, folder| {
                sparsify::save(model, folder).ok()
            }),
        ];
        for (project, save) in first.into_iter().chain(OTHERS) {
            let folder = root.join(project).join(&name);
            if save(&model, &folder).is_none() {
                continue; // no place for it
            }
            let hidden = model.encode(samples()).unwrap();
            let reconstructions = model.reconstruct(samples()).unwrap();
            for (file, matrix) in [
                ("samples", &samples()),
                ("hidden", &hidden),
                ("reconstructions", &reconstructions),
            ] {
                let bytes: Vec<u8> = matrix
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect();
                fs::write(folder.join(file).with_extension("f32"), bytes).unwrap();
            }
        }
    }
}

/// Transcoders of every activation, without a zero anywhere.
fn transcoders<T: Real>() -> impl Iterator<Item = (String, SparseAutoencoder<T>)> {
    let of = |&hidden: &Activation| {
        [(5, true), (5, false), (8, true), (8, false)].map(|(output_size, skip)| {
            let builder = SparseAutoencoder::builder()
                .layers([8, 16])
                .output_size(output_size)
                .skip(skip)
                .hidden_activation(hidden)
                .output_activation(Activation::Identity)
                .penalty(());
            let mut model = builder.build().unwrap();
            let entry = |k: usize| T::of(0.3 * (f64::of_count(k) * 0.7).sin());
            let theta: Vec<T> = (0..model.layout().len()).map(entry).collect();
            model.set_theta(&theta).unwrap();
            let ending = if skip { "_skip" } else { "" };
            (format!("{hidden:?}_to_{output_size}{ending}"), model)
        })
    };
    ACTIVATIONS.iter().flat_map(of)
}

/// What a form has no place for is refused; what is saved is loaded again to the bit.
#[test]
fn transcoders_are_saved_and_loaded_again() {
    type Form = (
        &'static str,
        fn(&SparseAutoencoder<f64>, &Path) -> Result<(), Error>,
        fn(&Path) -> Result<Loaded<SparseAutoencoder<f64>>, Error>,
    );
    let forms: [Form; 4] = [
        (
            "sae_lens",
            |m, p| sae_lens::save(m, p),
            |p| sae_lens::load(p),
        ),
        (
            "sparsify",
            |m, p| sparsify::save(m, p),
            |p| sparsify::load(p),
        ),
        (
            "second",
            |m, p| gemma_scope::save_second(m, p),
            |p| gemma_scope::load(p),
        ),
        ("own", |m, p| files::save(m, p), |p| files::load(p)),
    ];
    let scratch = Scratch::new("transcoders");
    let mut saved = [0; 4];
    for (name, model) in transcoders::<f64>() {
        for ((form, save, load), saved) in forms.iter().zip(&mut saved) {
            let name = format!("{form}-{name}");
            let path = scratch.0.join(&name);
            if let Err(error) = save(&model, &path) {
                assert!(
                    matches!(error, Error::Unsupported { .. }),
                    "{name}: {error}"
                );
                continue;
            }
            *saved += 1;
            let loaded = load(&path).unwrap();
            assert_eq!(loaded.notes, [], "{name}");
            let again = loaded.model;
            let (is, of) = (again.layout(), model.layout());
            assert_eq!(
                (is.output_size(), is.has_skip()),
                (of.output_size(), of.has_skip())
            );
            assert!(is.is_transcoder(), "{name}");
            let x = samples::<f64>();
            let expected = model.reconstruct(&x).unwrap();
            assert_eq!(again.reconstruct(&x).unwrap(), expected, "{name}");
        }
        let refused = [
            gemma_scope::save(&model, scratch.0.join("npz")).map(drop),
            dictionary_learning::save(&model, scratch.0.join("dictionary")).map(drop),
            llama_scope::save(&model, scratch.0.join("llama")).map(drop),
        ];
        for refused in refused {
            assert!(matches!(refused, Err(Error::Unsupported { .. })));
        }
    }
    // ReLU, winners, and one or many thresholds; k of a sample, to the size of the input; as the first; all.
    assert_eq!(saved, [4 * 4, 2 * 2, 4 * 4, ACTIVATIONS.len() * 4]);
}
