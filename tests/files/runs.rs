//! A run in a file: scaling, model, optimizer, and trainer give the same bits as their builders.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::optimizer::{self, Optimizer};
use sparse_autoencoder::penalty::{Description, HiddenBatch, HiddenGradient, Scaled};
use sparse_autoencoder::recipe::{Recipe, Variant};
use sparse_autoencoder::{
    Activation, Adam, AnomalyDetector, AnomalyDetectorSettings, ClassifierTrainer, Corruption,
    DeadUnits, Error, Imputer, Initialization, KlDivergence, L1, Lbfgs, MissingValues,
    ModelSettings, Penalty, Real, ReconstructionLoss, Scaler, Scaling, Schedule, SetPoint, Sgd,
    SoftmaxClassifier, SparseAutoencoder, SparseAutoencoderBuilder, Threshold, Trainer,
    TrainerSettings,
};

use crate::common::recipes::RECIPES;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    scaling: Scaling,
    model: ModelSettings,
    optimizer: optimizer::Description,
    trainer: TrainerSettings,
}

fn samples() -> DMatrix<f32> {
    DMatrix::from_fn(6, 40, |i, j| ((i * 7 + j * j) % 11) as f32)
}

/// θ after a fit of scaled samples.
fn fitted(
    scaling: Scaling,
    builder: &SparseAutoencoderBuilder<f32>,
    mut trainer: Trainer<f32>,
) -> Vec<u32> {
    let x = scaling.fit(samples()).unwrap().apply(samples()).unwrap();
    let mut model = builder.build().unwrap();
    trainer.fit(&mut model, &x).unwrap();
    let theta = model.parameters().as_slice();
    theta.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn a_run_written_by_hand_gives_the_bits_of_the_builders() {
    let text = r#"{
        "scaling": { "target": { "range": { "low": 0.1, "high": 0.9 } } },
        "model": {
            "layers": [6, 10],
            "hidden_activation": "sigmoid",
            "output_activation": "sigmoid",
            "reconstruction_loss": "binary_cross_entropy",
            "penalty": { "sum": ["kl_divergence", { "scaled": [0.01, "l1"] }] },
            "penalty_weight": 0.3,
            "sparsity_target": 0.1,
            "weight_decay": 1e-3,
            "initialization": { "transposed_decoder": { "norm": 1.0 } },
            "seed": 4
        },
        "optimizer": { "adam": { "learning_rate": 0.01, "beta2": 0.99 } },
        "trainer": {
            "epochs": 3,
            "batch_size": 9,
            "seed": 5,
            "schedule": { "decay": "cosine", "floor": 0.1 }
        }
    }"#;
    let run: Run = serde_json::from_str(text).unwrap();
    let by_file = SparseAutoencoder::builder().settings(run.model.clone());
    let by_hand = SparseAutoencoder::builder()
        .layers([6, 10])
        .hidden_activation(Activation::Sigmoid)
        .output_activation(Activation::Sigmoid)
        .reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy)
        .penalty((KlDivergence, Scaled::new(0.01, L1)))
        .penalty_weight(0.3)
        .sparsity_target(0.1)
        .weight_decay(1e-3)
        .initialization(Initialization::TransposedDecoder { norm: 1.0 })
        .seed(4);
    let trainer = || {
        let optimizer = run.optimizer.optimizer().unwrap();
        Trainer::with_settings(optimizer, run.trainer.clone())
    };
    let adam = Adam::new(0.01).unwrap().betas(0.9, 0.99).unwrap();
    let by_setters = Trainer::new(adam)
        .epochs(3)
        .batch_size(9)
        .seed(5)
        .schedule(Schedule::cosine(0.1));
    let theta = fitted(run.scaling, &by_file, trainer());
    let scaling = Scaling::min_max(0.1, 0.9);
    assert_eq!(theta, fitted(scaling, &by_hand, by_setters));

    // The whole of it is the same after another round, and so are the settings of the model.
    let again: Run = serde_json::from_value(json!(run)).unwrap();
    assert_eq!(again, run);
    let settings = by_hand.build().unwrap().settings().clone();
    assert_eq!(by_file.build().unwrap().settings(), &settings);
    let again: ModelSettings = serde_json::from_value(json!(settings)).unwrap();
    assert_eq!(again, settings);
    let rebuilt = SparseAutoencoder::builder().settings(again);
    assert_eq!(theta, fitted(scaling, &rebuilt, trainer()));
}

#[test]
fn one_activation_stands_for_all_layers_and_a_list_for_each() {
    let build = |hidden: serde_json::Value, output: serde_json::Value| {
        let settings = json!({
            "layers": [6, 8, 4],
            "hidden_activations": hidden,
            "decoder_activations": output,
            "penalty": "none",
        });
        let settings = serde_json::from_value(settings).map_err(|error| error.to_string())?;
        let model = SparseAutoencoder::<f64>::builder()
            .settings(settings)
            .build();
        model.map_err(|error| error.to_string())
    };
    use Activation::{Identity, Relu, Tanh, TopK};
    let model = build(json!({ "top_k": 2 }), json!("identity")).unwrap();
    assert_eq!(model.hidden_activations(), [TopK(2); 2]);
    assert_eq!(model.decoder_activations(), [Identity, Relu]);
    let model = build(json!(["relu", { "top_k": 2 }]), json!(["identity", "tanh"])).unwrap();
    assert_eq!(model.hidden_activations(), [Relu, TopK(2)]);
    assert_eq!(model.decoder_activations(), [Identity, Tanh]);
    for (hidden, output, says) in [
        (
            json!(["relu"]),
            json!("tanh"),
            "hidden_activations: expected 2, got 1",
        ),
        (
            json!("relu"),
            json!(["tanh"]),
            "decoder_activations: expected 2, got 1",
        ),
        (json!("rely"), json!("tanh"), "unknown variant `rely`"),
        (json!(["rely"]), json!("tanh"), "unknown variant `rely`"),
        (json!(7), json!("tanh"), "expected an activation, or a list"),
        (json!({ "top_k": -1 }), json!("tanh"), "expected usize"),
    ] {
        let error = build(hidden, output).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}

/// Each key of the sparsity term takes one value, or one for each layer, and is written as it was read.
#[test]
fn layers_have_a_penalty_weight_and_target_of_their_own() {
    let build = |weight: Value, target: Value, penalty: Value| {
        let settings: Result<ModelSettings, _> = serde_json::from_value(json!({
            "layers": [3, 4, 2],
            "penalty_weight": weight,
            "sparsity_target": target,
            "penalty": penalty,
        }));
        let settings = settings.map_err(|error| error.to_string())?;
        let build = SparseAutoencoder::<f64>::builder()
            .settings(settings)
            .build();
        build.map_err(|error| error.to_string())
    };
    let penalties = json!(["kl_divergence", { "scaled": [0.5, "l1"] }]);
    let model = build(json!([1, 0.25]), json!([0.1, 0.2]), penalties.clone()).unwrap();
    assert_eq!(model.penalty_weights(), [1.0, 0.25]);
    assert_eq!(model.sparsity_targets(), [0.1, 0.2]);
    let written = json!(model.settings());
    assert_eq!(written["penalty_weight"], json!([1.0, 0.25]));
    assert_eq!(written["sparsity_target"], json!([0.1, 0.2]));
    assert_eq!(written["penalty"], penalties);
    let read: ModelSettings = serde_json::from_value(written).unwrap();
    assert_eq!(&read, model.settings());

    // Equal values are one.
    let equal = build(json!([1, 1]), json!([0.1, 0.1]), json!(["l1", "l1"])).unwrap();
    let written = json!(equal.settings());
    assert_eq!(written["penalty_weight"], json!(1.0));
    assert_eq!(written["sparsity_target"], json!(0.1));
    assert_eq!(written["penalty"], json!("l1"));
    let one = build(json!(1), json!(0.1), json!("l1")).unwrap();
    assert_eq!(one.settings(), equal.settings());

    for (weight, penalty, says) in [
        (
            json!([1]),
            json!("l1"),
            "penalty_weights: expected 2, got 1",
        ),
        (json!("1"), json!("l1"), "expected f64"),
        (json!(["1", 1]), json!("l1"), "expected f64"),
        (json!(1), json!(["l1"]), "penalties: expected 2, got 1"),
        (json!(1), json!(["l1", "l7"]), "unknown variant `l7`"),
        (json!(1), json!(7), "expected a penalty, or a list"),
    ] {
        let error = build(weight, json!(0.1), penalty).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn every_optimizer_is_the_same_after_json() {
    let sgd = || Sgd::<f64>::new(0.1).unwrap();
    let optimizers: [Box<dyn Optimizer<f64>>; 5] = [
        Box::new(sgd()),
        Box::new(sgd().momentum(0.9).unwrap().nesterov()),
        Box::new(Adam::new(1e-3).unwrap()),
        Box::new(
            Adam::new(1e-3)
                .unwrap()
                .betas(0.8, 0.9)
                .unwrap()
                .weight_decay(0.1)
                .unwrap(),
        ),
        Box::new(
            Lbfgs::new()
                .history(3)
                .unwrap()
                .relative_change(0.0)
                .unwrap(),
        ),
    ];
    for optimizer in optimizers {
        let description = optimizer.description();
        let again: optimizer::Description = serde_json::from_value(json!(description)).unwrap();
        assert_eq!(again, description);
        let again = again.optimizer::<f64>().unwrap();
        assert_eq!(
            again.state().unwrap(),
            optimizer.state().unwrap(),
            "{description:?}"
        );
    }
    let defaults = json!({ "lbfgs": {} });
    let lbfgs: optimizer::Description = serde_json::from_value(defaults).unwrap();
    let lbfgs = lbfgs.optimizer::<f64>().unwrap();
    assert_eq!(lbfgs.state().unwrap(), Lbfgs::<f64>::new().state().unwrap());
}

#[derive(Debug)]
struct Odd;

impl<T: Real> Penalty<T> for Odd {
    fn accumulate(&self, _: &HiddenBatch<'_, T>, _: T, _: &mut HiddenGradient<'_, T>) -> T {
        T::one()
    }
}

#[test]
fn what_no_file_can_hold_is_refused_by_name() {
    let odd = SparseAutoencoder::<f64>::builder()
        .layers([6, 4])
        .penalty(Odd);
    let settings = odd.build().unwrap().settings().clone();
    let without = SparseAutoencoder::<f64>::builder().settings(settings);
    let error = without.build().unwrap_err();
    assert!(matches!(error, Error::Incompatible { .. }), "{error}");
    assert!(error.to_string().contains("`.penalty(…)`"), "{error}");
    let with = without.penalty(Odd).build().unwrap();
    let custom = Description::Custom("Odd".to_owned());
    assert_eq!(with.penalty().description(), custom);

    let custom = optimizer::Description::Custom("another::Rule".to_owned());
    assert!(matches!(
        custom.optimizer::<f64>(),
        Err(Error::Incompatible { .. })
    ));
    let typos = [
        json!({ "adam": { "learning_rat": 0.1 } }),
        json!({ "adam": {} }),
        json!({ "adan": { "learning_rate": 0.1 } }),
    ];
    for typo in typos {
        assert!(serde_json::from_value::<optimizer::Description>(typo).is_err());
    }
    let negative = json!({ "sgd": { "learning_rate": -0.1 } });
    let negative: optimizer::Description = serde_json::from_value(negative).unwrap();
    assert!(matches!(
        negative.optimizer::<f64>(),
        Err(Error::InvalidParameter { .. })
    ));
}

/// Refuses a key that is not known, in each object of what `part` is written as.
fn assert_refuses_unknown_keys<S: Serialize + DeserializeOwned>(part: &S) {
    fn objects(value: &Value, at: &str, found: &mut Vec<String>) {
        if let Value::Object(fields) = value {
            found.push(at.to_owned());
            for (key, value) in fields {
                objects(value, &format!("{at}/{key}"), found);
            }
        }
    }
    let written = serde_json::to_value(part).unwrap();
    let mut found = Vec::new();
    objects(&written, "", &mut found);
    assert!(!found.is_empty(), "{written}");
    for at in found {
        let mut misspelled = written.clone();
        misspelled.pointer_mut(&at).unwrap()["misspelled"] = Value::from(1);
        let read = serde_json::from_value::<S>(misspelled);
        assert!(read.is_err(), "{at} of {written}");
    }
}

#[test]
fn every_part_of_a_run_refuses_unknown_keys() {
    assert_refuses_unknown_keys(&Scaling::standard());
    assert_refuses_unknown_keys(&Scaling::min_max(0.1, 0.9));
    let trainer = Trainer::<f32>::new(Adam::new(1e-2).unwrap())
        .schedule(Schedule::cosine(0.1).warm_up(0.1))
        .anneal_k(4, 0.5)
        .set_point(SetPoint::active_units(3.0))
        .dead_units(DeadUnits::after(3).auxiliary(2, 0.1))
        .corruption(Corruption::Gaussian {
            standard_deviation: 0.1,
        });
    assert_refuses_unknown_keys(trainer.settings());
    let masking = Corruption::Masking { fraction: 0.1 };
    assert_refuses_unknown_keys(trainer.corruption(masking).settings());
    let penalty = (KlDivergence, Scaled::new(0.1, L1));
    let model = SparseAutoencoder::<f32>::builder().layers([3, 4]);
    assert_refuses_unknown_keys(model.penalty(penalty).build().unwrap().settings());
    assert_refuses_unknown_keys(&Recipe::new(Variant::L1, 4, 2));
    let norm = Initialization::TransposedDecoder { norm: 1.0 };
    let model = SparseAutoencoder::<f32>::builder().layers([3, 4]);
    assert_refuses_unknown_keys(model.initialization(norm).build().unwrap().settings());
    assert_refuses_unknown_keys(&Sgd::<f32>::new(0.1).unwrap().description());
    assert_refuses_unknown_keys(&Adam::<f32>::new(0.1).unwrap().description());
    assert_refuses_unknown_keys(&Lbfgs::<f32>::new().description());
    assert_refuses_unknown_keys(&AnomalyDetectorSettings::default());
    assert_refuses_unknown_keys(&Scaling::standard().fit(samples()).unwrap());
    assert_refuses_unknown_keys(&Imputer::fit(samples()).unwrap());
}

#[test]
fn what_a_file_leaves_out_has_the_default_of_the_constructor() {
    fn read<S: DeserializeOwned>(value: Value) -> Result<S, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }
    let read_schedule = read::<Schedule>;
    assert_eq!(
        read_schedule(json!({ "decay": "constant" })),
        Ok(Schedule::constant())
    );
    for decay in ["linear", "cosine", "exponential"] {
        let error = read_schedule(json!({ "decay": decay })).unwrap_err();
        assert!(error.starts_with("missing field `floor`"), "{error}");
    }
    let active = json!({ "measure": "active_units", "target": 3.0 });
    assert_eq!(read(active), Ok(SetPoint::active_units(3.0)));
    assert_eq!(read(json!({ "after": 7 })), Ok(DeadUnits::after(7)));
    let standard = json!({ "target": "standard" });
    assert_eq!(read(standard), Ok(Scaling::standard()));
    assert_eq!(read(json!({})), Ok(TrainerSettings::default()));
    let lbfgs = read::<optimizer::Description>(json!("lbfgs"));
    assert_eq!(lbfgs, read(json!({ "lbfgs": {} })));
    assert!(lbfgs.is_ok());
}

/// No pair of numbers: each has its key.
#[test]
fn every_setting_of_a_trainer_is_written_by_name() {
    let trainer = Trainer::<f32>::new(Adam::new(1e-2).unwrap())
        .anneal_k(4, 0.5)
        .dead_units(DeadUnits::after(3).auxiliary(2, 0.25).resampled(5));
    let written = json!(trainer.settings());
    let anneal_k = json!({ "from": 4, "fraction": 0.5 });
    assert_eq!(written["anneal_k"], anneal_k);
    let auxiliary = json!({ "units": 2, "weight": 0.25 });
    let dead_units = json!({ "after": 3, "auxiliary": auxiliary, "resampled": 5 });
    assert_eq!(written["dead_units"], dead_units);
    let again: TrainerSettings = serde_json::from_value(written).unwrap();
    assert_eq!(&again, trainer.settings());
    let kept = json!(Scaling::standard().keep_constant_features());
    let expected = json!({ "target": "standard", "keep_constant_features": true });
    assert_eq!(kept, expected);
}

#[test]
fn a_name_alone_says_which_setting_is_missing() {
    fn error<S: DeserializeOwned + std::fmt::Debug>(value: Value) -> String {
        let read = serde_json::from_value::<S>(value);
        read.unwrap_err().to_string()
    }
    let optimizer = error::<optimizer::Description>;
    let target = |name: &str| error::<Scaling>(json!({ "target": name }));
    let corruption = |name: &str| error::<TrainerSettings>(json!({ "corruption": name }));
    let model = |key: &str, name: &str| error::<ModelSettings>(json!({ key: name }));
    let threshold = |name: &str| error::<AnomalyDetectorSettings>(json!({ "threshold": name }));
    let value = "its value is missing";
    for (name, error, says) in [
        (
            "sgd",
            optimizer(json!("sgd")),
            "missing field `learning_rate`",
        ),
        (
            "adam",
            optimizer(json!("adam")),
            "missing field `learning_rate`",
        ),
        ("custom", optimizer(json!("custom")), value),
        ("range", target("range"), "missing field `low`"),
        ("mean_norm", target("mean_norm"), value),
        ("mean_distance", target("mean_distance"), value),
        (
            "gaussian",
            corruption("gaussian"),
            "missing field `standard_deviation`",
        ),
        ("masking", corruption("masking"), "missing field `fraction`"),
        (
            "salt_and_pepper",
            corruption("salt_and_pepper"),
            "missing field `fraction`",
        ),
        ("top_k", model("hidden_activation", "top_k"), value),
        ("scaled", model("penalty", "scaled"), value),
        (
            "transposed_decoder",
            model("initialization", "transposed_decoder"),
            "missing field `norm`",
        ),
        ("quantile", threshold("quantile"), value),
        ("contamination", threshold("contamination"), value),
        ("false_alarm_rate", threshold("false_alarm_rate"), value),
    ] {
        let expected = format!("`{name}` alone: {says}; write a table with the key `{name}`");
        assert!(error.starts_with(&expected), "{error}");
    }
    let misspelled = [
        optimizer(json!("adan")),
        target("standart"),
        corruption("gausian"),
        model("penalty", "l7"),
        threshold("quantil"),
    ];
    for error in misspelled {
        assert!(error.starts_with("unknown variant `"), "{error}");
    }
}

#[test]
fn a_recipe_is_the_same_after_json_and_has_defaults() {
    for (name, variant) in RECIPES {
        let few = json!({ "variant": name, "hidden_size": 16, "active_units": 3 });
        let plain = Recipe::new(variant, 16, 3);
        assert_eq!(
            serde_json::from_value::<Recipe>(few.clone()).unwrap(),
            plain
        );
        // Formats without a null, such as TOML, can hold what is not set.
        let written = json!(plain);
        assert!(
            written
                .as_object()
                .unwrap()
                .values()
                .all(|value| !value.is_null())
        );
        let set = plain
            .clone()
            .samples(70)
            .batch_size(9)
            .learning_rate(0.01)
            .seed(4);
        for recipe in [plain, set] {
            let again: Recipe = serde_json::from_value(json!(recipe)).unwrap();
            assert_eq!(again, recipe);
        }
        for key in ["variant", "hidden_size", "active_units"] {
            let mut less = few.clone();
            less.as_object_mut().unwrap().remove(key);
            let error = serde_json::from_value::<Recipe>(less).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
    }
}

#[test]
fn a_scaler_is_the_same_after_json_and_checked() {
    fn is_same<T: Real + Serialize + DeserializeOwned>(scaler: &Scaler<T>) {
        let text = serde_json::to_string(scaler).unwrap();
        let again: Scaler<T> = serde_json::from_str(&text).unwrap();
        let bits = |scaler: &Scaler<T>| {
            let values = [scaler.centers(), scaler.factors(), scaler.offsets()].concat();
            let bits = values.iter().map(|x| x.to_f64().to_bits());
            bits.collect::<Vec<_>>()
        };
        assert_eq!(bits(&again), bits(scaler), "{text}");
    }
    for scaling in [
        Scaling::identity(),
        Scaling::standard(),
        Scaling::min_max(-0.1, 0.7),
        Scaling::mean_norm(3.0),
        Scaling::mean_distance(0.3),
    ] {
        is_same(&scaling.fit(samples()).unwrap());
        is_same(&scaling.fit(samples().cast::<f64>()).unwrap());
    }
    // By way of a value, which holds numbers beyond `f32`.
    let parse = |text: &str| {
        let value: Value = serde_json::from_str(text).unwrap();
        serde_json::from_value::<Scaler<f32>>(value).map_err(|error| error.to_string())
    };
    parse(r#"{"centers": [1], "factors": [2], "offsets": [3]}"#).unwrap();
    for (text, says) in [
        (
            r#"{"centers": [1], "factors": [2], "offsets": []}"#,
            "offsets of the scaler: expected 1, got 0",
        ),
        (
            r#"{"centers": [1], "factors": [0], "offsets": [3]}"#,
            "factors must be finite and above 0, got 0",
        ),
        (
            r#"{"centers": [1], "factors": [1e-99], "offsets": [3]}"#,
            "factors must be finite and above 0, got 0",
        ),
        (
            r#"{"centers": [1e99], "factors": [2], "offsets": [3]}"#,
            "centers must be finite",
        ),
        (r#"{"centers": [1], "factors": [2]}"#, "missing field"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn an_imputer_is_the_same_after_json_and_its_values_are_checked() {
    let mut table = samples().cast::<f64>();
    table[(2, 3)] = f64::NAN;
    table[(4, 1)] = f64::NAN;
    let imputer = Imputer::fit(&table).unwrap();
    let value = json!(imputer);
    assert_eq!(value["marked"], json!([2, 4]));
    assert_eq!(serde_json::from_value(value).ok(), Some(imputer));
    for (text, says) in [
        (
            r#"{"means": [1], "marked": [1]}"#,
            "ascending indices of features, got 1",
        ),
        (
            r#"{"means": [1, 2], "marked": [1, 0]}"#,
            "ascending indices of features, got 0",
        ),
        (r#"{"means": [1]}"#, "missing field"),
    ] {
        let error = serde_json::from_str::<Imputer<f32>>(text).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn the_settings_of_a_detector_are_the_same_after_json_and_have_defaults() {
    let defaults: AnomalyDetectorSettings = serde_json::from_value(json!({})).unwrap();
    assert_eq!(defaults, AnomalyDetectorSettings::default());
    let text = r#"{
        "scaling": { "target": "standard" },
        "missing_values": "impute",
        "threshold": { "contamination": 0.1 },
        "calibration_split": 0.5,
        "seed": 3
    }"#;
    let settings: AnomalyDetectorSettings = serde_json::from_str(text).unwrap();
    let again = serde_json::from_value(json!(settings));
    assert_eq!(again.ok(), Some(settings));

    let fitted = |by_file: bool| {
        let builder = SparseAutoencoder::builder().layers([6, 4]);
        let mut model = builder.build().unwrap();
        let builder = AnomalyDetector::builder(&mut model);
        let builder = if by_file {
            builder.settings(settings)
        } else {
            builder
                .scaling(Scaling::standard())
                .missing_values(MissingValues::Impute)
                .threshold(Threshold::Contamination(0.1))
                .calibration_split(0.5)
                .seed(3)
        };
        let mut trainer = Trainer::new(Adam::new(1e-2).unwrap()).epochs(2);
        builder.fit(&mut trainer, samples()).unwrap().detector
    };
    let [by_file, by_setters] = [fitted(true), fitted(false)];
    assert_eq!(by_file.scaler(), by_setters.scaler());
    assert_eq!(by_file.rule(), by_setters.rule());
    assert!(by_file.imputer().is_some());
    assert_eq!(by_file.imputer(), by_setters.imputer());
    assert_eq!(by_file.calibration_scores().len(), 20);
    assert_eq!(
        by_file.calibration_scores(),
        by_setters.calibration_scores()
    );

    // Ranges are checked by a fit.
    let mut model = SparseAutoencoder::builder().layers([6, 4]).build().unwrap();
    let outside = json!({ "threshold": { "quantile": 1.5 } });
    let outside: AnomalyDetectorSettings = serde_json::from_value(outside).unwrap();
    let refused = AnomalyDetector::builder(&mut model)
        .settings(outside)
        .fit(&mut Trainer::new(Adam::new(1e-2).unwrap()), samples());
    assert!(
        matches!(refused, Err(Error::InvalidParameter { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_trainer_of_classifiers_is_built_from_a_file_and_refuses_what_only_autoencoders_have() {
    let labels: Vec<usize> = (0..40).map(|j| j % 2).collect();
    let fit = |mut trainer: ClassifierTrainer<f32>| {
        let mut classifier = SoftmaxClassifier::new(6, 2).unwrap();
        trainer.fit(&mut classifier, samples(), &labels)?;
        Ok(classifier.theta().to_vec())
    };
    let adam = || Adam::new(1e-2).unwrap();
    let by_file = |settings: Value| {
        let settings: TrainerSettings = serde_json::from_value(settings).unwrap();
        fit(ClassifierTrainer::with_settings(adam(), settings))
    };
    let settings = json!({ "epochs": 3, "batch_size": 7, "seed": 4, "clip_gradient": 0.1 });
    let by_setters = ClassifierTrainer::new(adam())
        .epochs(3)
        .batch_size(7)
        .seed(4)
        .clip_gradient(0.1);
    assert_eq!(by_file(settings).unwrap(), fit(by_setters).unwrap());

    let autoencoders = Trainer::<f32>::new(adam())
        .stream_steps(3)
        .bias_rate(2.0)
        .unit_norm_decoder(true)
        .sparsity_warm_up(0.1)
        .anneal_k(9, 0.5)
        .set_point(SetPoint::active_units(2.0))
        .dead_units(DeadUnits::after(3))
        .corruption(Corruption::Masking { fraction: 0.1 });
    let all = json!(autoencoders.settings());
    let common = json!(ClassifierTrainer::<f32>::new(adam()).settings());
    let mut refused = 0;
    for (key, value) in all.as_object().unwrap() {
        if *value == common[key] {
            continue;
        }
        let error = by_file(json!({ (key.as_str()): value })).expect_err(key);
        assert!(
            matches!(error, Error::Incompatible { .. }),
            "{key}: {error}"
        );
        assert!(error.to_string().ends_with("with a classifier"), "{error}");
        refused += 1;
    }
    assert_eq!(refused, 8);
}

#[test]
fn a_trainer_that_is_reset_forgets_where_its_set_point_was() {
    let mut model = SparseAutoencoder::<f32>::builder()
        .layers([6, 10])
        .hidden_activation(Activation::Relu)
        .penalty(L1)
        .build()
        .unwrap();
    let set_point = SetPoint::active_units(3.0);
    let mut trainer = Trainer::new(Adam::new(1e-2).unwrap()).set_point(set_point);
    trainer.partial_fit(&mut model, samples()).unwrap();
    assert!(trainer.set_point_state().is_some());
    trainer.reset();
    assert!(trainer.set_point_state().is_none());
}

/// No error shows a private type: each says which keys or names are expected.
#[test]
fn a_setting_of_another_type_says_what_to_write() {
    fn refused<S: DeserializeOwned + std::fmt::Debug>(value: Value, says: &str) {
        let error = serde_json::from_value::<S>(value).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        for private in ["expected struct", "expected enum", "Unchecked"] {
            assert!(!error.contains(private), "{error}");
        }
    }
    refused::<TrainerSettings>(json!(3), "`epochs`");
    let trainer = |key: &str, value: Value, says| {
        refused::<TrainerSettings>(json!({ key: value }), says);
    };
    trainer("schedule", json!("cosine"), "\"floor\": 0.1");
    trainer("dead_units", json!(3000), "`after`");
    let auxiliary = json!({ "after": 3, "auxiliary": 2 });
    trainer("dead_units", auxiliary, "`weight`");
    trainer("anneal_k", json!(8), "`fraction`");
    trainer("set_point", json!(4.0), "`target`");
    refused::<ModelSettings>(json!("relu"), "`layers`");
    refused::<Recipe>(json!("top_k"), "`hidden_size`");
    refused::<Scaling>(json!("standard"), "{\"target\": \"standard\"}");
    refused::<Scaler<f32>>(json!(1.0), "`centers`");
    refused::<Imputer<f32>>(json!(1.0), "`means`");
    refused::<AnomalyDetectorSettings>(json!(0.1), "`threshold`");
    refused::<sparse_autoencoder::AnomalyEnsembleBuilder<f32>>(json!(1), "`seed`");
}

/// A variant has the same name in a file, in a text, and as an argument.
#[test]
fn a_variant_is_parsed_from_its_name_in_a_file() {
    for (name, variant) in RECIPES {
        assert_eq!(json!(variant), json!(name));
        assert_eq!(variant.to_string(), name);
        assert_eq!(name.parse(), Ok(variant));
    }
    let error = "topk".parse::<Variant>().unwrap_err().to_string();
    let expected = "there is no variant \"topk\": there are only \"l1\", \"gated\", ";
    assert!(error.starts_with(expected), "{error}");
}
