//! What the public types can be used for: across threads, behind pointers, as values. A field that
//! took one of these away would break dependents silently.

use std::error::Error as StdError;
use std::fmt::Debug;
use std::panic::UnwindSafe;
use std::sync::Arc;

use sparse_autoencoder::gradient_check::GradientCheck;
use sparse_autoencoder::metrics::{
    DictionaryMetrics, FeatureMatch, ReconstructionMetrics, RocPoint, SparsityIndex,
    SparsityMetrics, TopSample, UnitStatistics,
};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::optimizer::Step;
use sparse_autoencoder::penalty::{HiddenBatch, HiddenGradient, Scaled};
use sparse_autoencoder::recipe::{Fitted, Variant};
use sparse_autoencoder::{
    Activation, Adam, AnnealK, AnomalyDetector, AnomalyDetectorSettings, AnomalyEnsemble,
    AnomalyEnsembleBuilder, Batches, ClassifierEvent, ClassifierReport, Convention, Corruption,
    DeadUnits, EncodedSamples, EnsembleStep, Epoch, Error, Event, FittedDetector, IdxFile,
    ImputedSamples, Imputer, Initialization, Joined, KlDivergence, L1, Layer, LayerView, Layout,
    Lbfgs, LogWriter, Loss, MissingValues, ModelSettings, NpyFile, Optimizer, Parameters, Penalty,
    Proportion, Recipe, ReconstructionLoss, Report, Samples, ScaledSamples, Scaler, Scaling,
    Schedule, SetPoint, SetPointState, Sgd, Shards, ShuffleBuffer, SoftmaxClassifier,
    SparseAutoencoder, SparseAutoencoderBuilder, SparseHidden, SquaredDeviation, Stack, StopReason,
    Subset, Threshold, Trainer, TrainerSettings, Warning, Workspace,
};

fn shared<T: Send + Sync + Unpin + Debug>() {}
fn value<T: Send + Sync + Unpin + Debug + Clone + UnwindSafe + 'static>() {}
fn small_value<T: Send + Sync + Unpin + Debug + Copy + PartialEq + 'static>() {}
fn comparable<T: PartialEq>() {}
fn default<T: Default>() {}

#[test]
fn values_can_be_sent_shared_cloned_and_shown() {
    small_value::<Activation>();
    small_value::<AnomalyDetectorSettings>();
    small_value::<AnomalyEnsembleBuilder<f32>>();
    small_value::<EnsembleStep>();
    small_value::<Corruption>();
    small_value::<FeatureMatch>();
    small_value::<Initialization>();
    small_value::<KlDivergence>();
    small_value::<MissingValues>();
    small_value::<L1>();
    small_value::<Loss<f32>>();
    small_value::<Proportion>();
    small_value::<ReconstructionLoss>();
    small_value::<Scaled<L1>>();
    small_value::<Schedule>();
    small_value::<SparsityIndex>();
    small_value::<SquaredDeviation>();
    small_value::<Step<f64>>();
    small_value::<AnnealK>();
    small_value::<Convention>();
    small_value::<DeadUnits>();
    small_value::<RocPoint>();
    small_value::<Scaling>();
    small_value::<SetPoint>();
    small_value::<SetPointState<f32>>();
    small_value::<StopReason>();
    small_value::<Threshold>();
    small_value::<TopSample>();
    small_value::<Variant>();
    small_value::<Warning>();

    value::<Adam<f32>>();
    value::<DictionaryMetrics>();
    value::<Error>();
    value::<GradientCheck<f64>>();
    value::<ClassifierReport<f32>>();
    value::<ModelSettings>();
    value::<Recipe>();
    value::<Shards<f32, DMatrix<f32>>>();
    value::<Subset<DMatrix<f32>>>();
    value::<TrainerSettings>();
    value::<Imputer<f32>>();
    value::<Layer<f32>>();
    value::<Layout>();
    value::<Lbfgs<f32>>();
    value::<Parameters<f64>>();
    value::<ReconstructionMetrics>();
    value::<Report<f64>>();
    value::<Sgd<f32>>();
    value::<SparseHidden<f32>>();
    value::<SparsityMetrics>();
    value::<UnitStatistics>();
    value::<Workspace<f32>>();

    comparable::<Error>();
    comparable::<GradientCheck<f64>>();
    comparable::<Layer<f32>>();
    comparable::<Layout>();
    comparable::<Parameters<f64>>();
    comparable::<Report<f64>>();
    comparable::<SparseHidden<f64>>();

    default::<Activation>();
    default::<ReconstructionLoss>();
    default::<SparseAutoencoderBuilder<f32>>();
    default::<SparseHidden<f32>>();
    default::<Workspace<f64>>();
}

#[test]
fn models_can_be_sent_shared_and_cloned() {
    fn model<T: Send + Sync + Unpin + Debug + Clone + 'static>() {}
    model::<AnomalyDetector<f32>>();
    model::<AnomalyEnsemble<f32>>();
    model::<Fitted<f32>>();
    model::<FittedDetector<f32>>();
    model::<Scaler<f64>>();
    model::<SoftmaxClassifier<f32>>();
    model::<SparseAutoencoder<f32>>();
    model::<SparseAutoencoder<f64>>();
    model::<Stack<f64>>();
    model::<SparseAutoencoderBuilder<f32>>();
    model::<SparseAutoencoderBuilder<f64>>();
}

#[test]
fn trainers_can_be_sent() {
    // Not shared: an optimizer is state, and need not be `Sync`.
    fn sent<T: Send + Unpin + Debug + 'static>() {}
    sent::<Trainer<f32>>();
    sent::<Trainer<f64>>();
}

#[test]
fn what_is_lent_can_be_shared() {
    shared::<Epoch<'_, f32>>();
    shared::<Event<'_, f32>>();
    shared::<ClassifierEvent<'_, f32>>();
    shared::<HiddenBatch<'_, f32>>();
    shared::<HiddenGradient<'_, f64>>();
    shared::<LayerView<'_, f64>>();
    shared::<LogWriter<Vec<u8>>>();
    shared::<Batches<'_, f32>>();
    shared::<Joined<f32, DMatrix<f32>>>();
    shared::<ScaledSamples<f32, DMatrix<f32>>>();
    shared::<ImputedSamples<f32, DMatrix<f32>>>();
    shared::<EncodedSamples<'_, f32, DMatrix<f32>>>();
}

#[test]
fn penalties_and_optimizers_are_objects() {
    fn penalty<P: Penalty<f32> + ?Sized>() {}
    penalty::<dyn Penalty<f32>>();
    penalty::<Box<dyn Penalty<f32>>>();
    penalty::<Arc<dyn Penalty<f32>>>();
    penalty::<&dyn Penalty<f32>>();
    penalty::<(Box<dyn Penalty<f32>>, Scaled<Arc<dyn Penalty<f32>>>)>();
    shared::<Box<dyn Penalty<f64>>>();

    let mut optimizers: Vec<Box<dyn Optimizer<f64>>> = vec![
        Box::new(Sgd::new(0.1).unwrap()),
        Box::new(Adam::new(0.1).unwrap()),
        Box::new(Lbfgs::new()),
    ];
    for optimizer in &mut optimizers {
        optimizer.reset(3);
    }
}

#[test]
fn samples_are_objects_and_files_can_be_shared() {
    fn samples<S: Samples<f32> + ?Sized>() {}
    samples::<dyn Samples<f32>>();
    samples::<Box<dyn Samples<f32> + Send>>();
    samples::<&dyn Samples<f32>>();
    samples::<Arc<dyn Samples<f32> + Send>>();
    shared::<NpyFile<f32>>();
    shared::<IdxFile<f64>>();
    shared::<ShuffleBuffer<f32, std::vec::IntoIter<Result<DMatrix<f32>, Error>>>>();
}

#[test]
fn an_error_goes_through_any_other() {
    fn fails() -> Result<(), Box<dyn StdError + Send + Sync + 'static>> {
        SparseAutoencoder::<f32>::builder().build()?;
        Ok(())
    }
    let error = fails().unwrap_err();
    assert!(error.is::<Error>());
}

#[cfg(feature = "files")]
#[test]
fn what_comes_from_files_can_be_sent_and_shared() {
    use sparse_autoencoder::files::{Loaded, Note, TensorFile, dictionary_learning::Dictionary};
    use sparse_autoencoder::penalty::Description;

    small_value::<Dictionary>();
    value::<Description>();
    value::<Note>();
    shared::<Loaded<SparseAutoencoder<f32>>>();
    shared::<Loaded<AnomalyDetector<f64>>>();
    shared::<TensorFile>();
}
