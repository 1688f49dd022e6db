//! Names of activations and their tensors in published files: one row for each activation.

use std::mem::discriminant;

use super::without_effect::Project;
use crate::Activation;
use crate::files::safetensors::Part;

/// An activation, built from a k, and its names in the files of each project that names them.
type Row = (fn(usize) -> Activation, &'static [Names]);

const ROWS: &[Row] = &[
    (
        |_| Activation::Relu,
        &[
            Names::of(Project::SaeLens, "standard", "b_enc"),
            Names::of(Project::DictionaryLearning, "AutoEncoder", "encoder.bias"),
            Names::of(
                Project::DictionaryLearning,
                "AutoEncoderNew",
                "encoder.bias",
            ),
        ],
    ),
    (
        Activation::TopK,
        &[
            Names::of(Project::SaeLens, "topk", "b_enc"),
            Names::of(Project::Sparsify, "topk", "encoder.bias"),
            Names::of(
                Project::DictionaryLearning,
                "AutoEncoderTopK",
                "encoder.bias",
            ),
        ],
    ),
    (
        Activation::AbsTopK,
        &[Names::of(Project::SaeLens, "abstopk", "b_enc")],
    ),
    (
        Activation::BatchTopK,
        &[
            Names::of(Project::DictionaryLearning, "BatchTopKSAE", "encoder.bias")
                .with(&[Source::Common("threshold")]),
            Names::of(
                Project::DictionaryLearning,
                "MatryoshkaBatchTopKSAE",
                "b_enc",
            )
            .with(&[Source::Common("threshold")]),
        ],
    ),
    (
        |_| Activation::JumpRelu,
        &[
            Names::of(Project::SaeLens, "jumprelu", "b_enc").with(&[Source::PerUnit("threshold")]),
            Names::of(Project::DictionaryLearning, "JumpReluAutoEncoder", "b_enc")
                .with(&[Source::PerUnit("threshold")]),
        ],
    ),
    (
        |_| Activation::Gated,
        &[
            Names::of(Project::SaeLens, "gated", "b_gate")
                .with(&[Source::PerUnit("r_mag"), Source::PerUnit("b_mag")]),
            Names::of(Project::DictionaryLearning, "GatedAutoEncoder", "gate_bias")
                .with(&[Source::PerUnit("r_mag"), Source::PerUnit("mag_bias")]),
        ],
    ),
];

/// The names that a project has for the units of one activation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    project: Project,
    /// The architecture, the activation, or the class.
    pub(super) name: &'static str,
    /// The tensor of b.
    pub(super) bias: &'static str,
    /// The tensors of the blocks of the activation, in their order.
    blocks: &'static [Source<'static>],
}

/// The source of a block's parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Source<'a> {
    PerUnit(&'a str),
    /// `exp` of the tensor.
    LogPerUnit(&'a str),
    /// One threshold for all units. A negative one is not set.
    Common(&'a str),
    Constant(f64),
}

/// The units of a published model, and where their parameters are in its file.
#[derive(Debug, Clone)]
pub(super) struct PublishedUnits<'a> {
    pub(super) activation: Activation,
    /// The tensor of b.
    pub(super) bias: &'a str,
    /// One source for each block of the activation, in their order.
    pub(super) blocks: Vec<Source<'a>>,
}

impl<'a> PublishedUnits<'a> {
    /// Units without parameters besides their bias.
    pub(super) fn plain(activation: Activation, bias: &'a str) -> Self {
        Self {
            activation,
            bias,
            blocks: Vec::new(),
        }
    }

    /// `max(z, 0)` where `z` is above a threshold.
    pub(super) fn above(threshold: Source<'a>, bias: &'a str) -> Self {
        Self {
            activation: Activation::JumpRelu,
            bias,
            blocks: vec![threshold],
        }
    }
}

impl Names {
    const fn of(project: Project, name: &'static str, bias: &'static str) -> Self {
        Self {
            project,
            name,
            bias,
            blocks: &[],
        }
    }

    const fn with(self, blocks: &'static [Source<'static>]) -> Self {
        Self { blocks, ..self }
    }

    /// Returns the names of an activation in the files of a project.
    pub(super) fn find(project: Project, activation: Activation) -> Option<&'static Self> {
        let rows = ROWS.iter().filter(|(of, _)| is_same(of(1), activation));
        rows.flat_map(|(_, names)| *names)
            .find(|names| names.project == project)
    }

    /// Returns the units that a project calls `name`, if this crate has them. Calls `k` only for units that
    /// have one.
    pub(super) fn read<E>(
        project: Project,
        name: &str,
        k: impl FnOnce() -> Result<usize, E>,
    ) -> Result<Option<PublishedUnits<'static>>, E> {
        let named = |names: &&Self| names.project == project && names.name == name;
        let mut rows = ROWS.iter();
        let found = rows.find_map(|(of, names)| Some((of, names.iter().find(named)?)));
        let Some((of, names)) = found else {
            return Ok(None);
        };
        let has_k = of(1).k().is_some();
        Ok(Some(PublishedUnits {
            activation: of(if has_k { k()? } else { 1 }),
            bias: names.bias,
            blocks: names.blocks.to_vec(),
        }))
    }

    /// Returns the tensors of the blocks, which have one number for each unit.
    pub(super) fn parts<'a, T: Clone>(
        &self,
        blocks: &'a [Vec<T>],
    ) -> impl Iterator<Item = Part<'a, T>> {
        self.blocks
            .iter()
            .zip(blocks)
            .filter_map(|(source, values)| match source {
                Source::PerUnit(name) => Some(Part::new(name, &[values.len()], &values[..])),
                Source::Common(name) => Some(Part::new(name, &[], &values[..1])),
                Source::LogPerUnit(_) | Source::Constant(_) => None, // only read
            })
    }
}

fn is_same(a: Activation, b: Activation) -> bool {
    discriminant(&a) == discriminant(&b)
}

/// Returns the activation with the same `encode` that some published file can have.
pub(super) fn published(activation: Activation, units: usize) -> Option<Activation> {
    let activation = match activation {
        Activation::TopProportion(_) => Activation::TopK(activation.kept(units)?),
        // Winners are chosen in training only.
        Activation::WinnerTakeAll(_) => Activation::Relu,
        // With the same threshold for all units.
        Activation::BatchTopK(_) => Activation::JumpRelu,
        other => other,
    };
    let mut rows = ROWS.iter();
    rows.any(|(of, _)| is_same(of(1), activation))
        .then_some(activation)
}
