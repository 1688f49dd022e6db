//! A published configuration, and an account of its keys: each is asked for by the loader, listed in the
//! table below as one without effect, or reported in the notes.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::json::Object;
use super::{Note, unsupported};
use crate::Error;

/// A project whose layout is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Project {
    SaeLens,
    Sparsify,
    GemmaScope,
    LlamaScope,
    DictionaryLearning,
}

/// Keys that change nothing in what a loaded model returns: where samples came from, how the model was
/// trained, where it is kept. For each project, the object (`""` is the outermost) and its keys.
const WITHOUT_EFFECT: &[(Project, &[(&str, &[&str])])] = &[
    (
        Project::SaeLens,
        &[
            ("", SAMPLES),
            ("", LENS_TRAINING),
            ("metadata.", SAMPLES),
            // Of the model that was trained, before it was written as this one.
            ("metadata.", &["training_architecture"]),
            ("metadata.training_architecture_details.", LENS_TRAINING),
            (
                "metadata.training_architecture_details.",
                &["k", "rescale_acts_by_decoder_norm"],
            ),
            ("model_kwargs.", MODEL_ARGUMENTS),
            ("model_from_pretrained_kwargs.", MODEL_ARGUMENTS),
            ("metadata.model_kwargs.", MODEL_ARGUMENTS),
            ("metadata.model_from_pretrained_kwargs.", MODEL_ARGUMENTS),
        ],
    ),
    (
        Project::Sparsify,
        // The norm of the decoder is one of training, and `multi_topk` is a loss.
        &[("", &["normalize_decoder", "multi_topk"])],
    ),
    (
        Project::GemmaScope,
        &[(
            "",
            &[
                "model_name",
                "hf_hook_point_in",
                "hf_hook_point_out",
                "width",
                "l0",
                "layer",
                "site",
                "type",
                "dtype",
            ],
        )],
    ),
    (Project::LlamaScope, &[("", SCOPE_TRAINING)]),
    (
        Project::DictionaryLearning,
        &[
            // Empty in some.
            ("", &["buffer"]),
            ("trainer.", DICTIONARY_TRAINING),
            ("buffer.", BUFFER),
        ],
    ),
];

/// Where SAELens takes samples from.
const SAMPLES: &[&str] = &[
    "context_size",
    "dataset_path",
    "dataset_trust_remote_code",
    "exclude_special_tokens",
    "hf_hook_name",
    "hf_hook_name_out",
    "hook_head_index",
    "hook_head_index_out",
    "hook_layer",
    "hook_layer_out",
    "hook_name",
    "hook_name_out",
    "hook_point",
    "hook_point_head_index",
    "hook_point_layer",
    "model_class_name",
    "model_from_pretrained_kwargs",
    "model_kwargs",
    "model_name",
    "neuronpedia_id",
    "prepend_bos",
    "sae_lens_training_version",
    "sae_lens_version",
    "seqpos_slice",
];

/// What loads the network in TransformerLens and transformers.
const MODEL_ARGUMENTS: &[&str] = &[
    "attn_implementation",
    "center_unembed",
    "center_writing_weights",
    "device",
    "device_map",
    "dtype",
    "fold_ln",
    "fold_value_biases",
    "n_devices",
    "torch_dtype",
    "trust_remote_code",
];

const LENS_TRAINING: &[&str] = &[
    "act_store_device",
    "adam_beta1",
    "adam_beta2",
    "autocast",
    "autocast_lm",
    "aux_loss_coefficient",
    "b_dec_init_method",
    "cached_activations_path",
    "checkpoint_path",
    "compile_llm",
    "compile_sae",
    "d_out",
    "dead_feature_threshold",
    "dead_feature_window",
    "decoder_heuristic_init",
    "decoder_heuristic_init_norm",
    "decoder_init_norm",
    "decoder_orthogonal_init",
    "device",
    "disable_concat_sequences",
    "dtype",
    "eval_batch_size_prompts",
    "eval_every_n_wandb_logs",
    "expansion_factor",
    "feature_reinit_scale",
    "feature_sampling_method",
    "feature_sampling_window",
    "finetuning_method",
    "finetuning_tokens",
    "from_pretrained_path",
    "hook_eval",
    "hook_point_eval",
    "init_encoder_as_decoder_transpose",
    "is_dataset_tokenized",
    "jumprelu_bandwidth",
    "jumprelu_init_threshold",
    "jumprelu_sparsity_loss_mode",
    "jumprelu_ste_to_input",
    "jumprelu_tanh_scale",
    "l0_coefficient",
    "l0_warm_up_steps",
    "l1_coefficient",
    "l1_warm_up_steps",
    "llm_compilation_mode",
    "log_activations_store_to_wandb",
    "log_optimizer_state_to_wandb",
    "log_to_wandb",
    "lp_norm",
    "lr",
    "lr_decay_steps",
    "lr_end",
    "lr_scheduler_name",
    "lr_warm_up_steps",
    "matryoshka_widths",
    "model_training_steps",
    "mse_loss_normalization",
    "n_batches_in_buffer",
    "n_checkpoints",
    "n_eval_batches",
    "n_restart_cycles",
    "noise_scale",
    "normalize_sae_decoder",
    "output_path",
    "pre_act_loss_coefficient",
    "resume",
    "resume_from_checkpoint",
    "run_name",
    "sae_compilation_mode",
    "save_final_checkpoint",
    "scale_sparsity_penalty_by_decoder_norm",
    "seed",
    "sequence_separator_token",
    "store_batch_size",
    "store_batch_size_prompts",
    "streaming",
    "target_l0",
    "tokens_per_buffer",
    "topk_threshold_lr",
    "total_training_tokens",
    "train_batch_size",
    "train_batch_size_tokens",
    "training_tokens",
    "use_cached_activations",
    "use_ghost_grads",
    "use_matryoshka_aux_loss",
    "use_sparse_activations",
    "verbose",
    "wandb_entity",
    "wandb_id",
    "wandb_log_frequency",
    "wandb_project",
    "warm_up_steps",
];

const SCOPE_TRAINING: &[&str] = &[
    "bias_init_method",
    "decoder_exactly_fixed_norm",
    "device",
    "ddp_size",
    "dtype",
    // The norms are 1 in the file.
    "force_unit_decoder_norm",
    "init_decoder_norm",
    "init_encoder_norm",
    "init_encoder_with_decoder_transpose",
    "jumprelu_threshold_window",
    "k_warmup_steps",
    "l1_coefficient",
    "l1_coefficient_warmup_steps",
    "lp",
    "promote_act_fn_dtype",
    "sae_pretrained_name_or_path",
    "seed",
    "sparsity_threshold_for_csr",
    "sparsity_threshold_for_triton_spmm_kernel",
    "strict_loading",
    "tp_size",
    "use_batch_norm_mse",
    "use_ghost_grads",
    "use_triton_kernel",
];

const DICTIONARY_TRAINING: &[&str] = &[
    "adaptive_sparsity_penalty",
    "anneal_start",
    "auxk_alpha",
    "bandwidth",
    "decay_start",
    "device",
    "group_fractions",
    "group_sizes",
    "group_weights",
    "l1_penalty",
    "lambda_warm_steps",
    "layer",
    "lm_name",
    "lr",
    "n_sparsity_updates",
    "p_end",
    "p_start",
    "resample_steps",
    "seed",
    "sparsity_coefficient",
    "sparsity_function",
    "sparsity_loss_queue_length",
    "sparsity_penalty",
    "sparsity_queue_length",
    "sparsity_warmup_steps",
    "steps",
    "steps_before_annealing",
    "submodule_name",
    "target_l0",
    "threshold_beta",
    "threshold_start_step",
    "top_k_aux",
    "trainer_class",
    "wandb_name",
    "warmup_steps",
    "weights_temperature",
];

const BUFFER: &[&str] = &[
    "ctx_len",
    "d_submodule",
    "device",
    "io",
    "layer",
    "n_ctxs",
    "out_batch_size",
    "refresh_batch_size",
];

/// A configuration, or an object within one, that keeps account of the keys that were asked for.
#[derive(Debug)]
pub(super) struct Config {
    project: Project,
    object: Object,
    /// The names of the objects that it is in, each with a dot.
    prefix: String,
    /// Of the whole configuration.
    asked: Rc<RefCell<BTreeSet<String>>>,
}

impl Config {
    pub(super) fn read(path: &Path, project: Project) -> Result<Self, Error> {
        Ok(Self::new(Object::read(path)?, project))
    }

    /// Of a model that is published without one.
    pub(super) fn absent(path: &Path, project: Project) -> Self {
        Self::new(Object::empty(path), project)
    }

    fn new(object: Object, project: Project) -> Self {
        Self {
            project,
            object,
            prefix: String::new(),
            asked: Rc::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.object.path()
    }

    /// Takes a key into account, whatever it holds.
    fn ask(&self, key: &str) {
        let path = format!("{}{key}", self.prefix);
        self.asked.borrow_mut().insert(path);
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.ask(key);
        self.object.get(key)
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, Error> {
        self.ask(key);
        self.object.text(key)
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, Error> {
        self.ask(key);
        self.object.flag(key)
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<f64>, Error> {
        self.ask(key);
        self.object.number(key)
    }

    pub(super) fn count(&self, key: &str) -> Result<Option<usize>, Error> {
        self.ask(key);
        self.object.count(key)
    }

    /// An object within this one, whose keys are accounted for like those of this one.
    pub(super) fn object(&self, key: &str) -> Result<Option<Self>, Error> {
        self.ask(key);
        Ok(self.object.object(key)?.map(|object| Self {
            project: self.project,
            object,
            prefix: format!("{}{key}.", self.prefix),
            asked: Rc::clone(&self.asked),
        }))
    }

    pub(super) fn required<V>(&self, key: &str, value: Option<V>) -> Result<V, Error> {
        self.object
            .required(&format!("{}{key}", self.prefix), value)
    }

    /// A setting that this crate has no counterpart for, and why.
    pub(super) fn refuse<V>(&self, key: &str, value: &str, why: &str) -> Result<V, Error> {
        let reason = format!("{}{key} is {value}: {why}", self.prefix);
        Err(unsupported(self.path(), reason))
    }

    /// A note for each key that was neither asked for nor is listed as without effect.
    pub(super) fn unread(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        self.account("", self.object.fields(), &mut notes);
        notes
    }

    fn account(&self, prefix: &str, fields: &Map<String, Value>, notes: &mut Vec<Note>) {
        for (key, value) in fields {
            let path = format!("{prefix}{key}");
            match value {
                Value::Object(inner) if !inner.is_empty() => {
                    self.account(&format!("{path}."), inner, notes);
                }
                _ if self.asked.borrow().contains(&path) => {}
                _ if is_without_effect(self.project, prefix, key) => {}
                _ => notes.push(Note::UnknownKey { key: path }),
            }
        }
    }
}

fn is_without_effect(project: Project, object: &str, key: &str) -> bool {
    WITHOUT_EFFECT
        .iter()
        .filter(|(of, _)| *of == project)
        .flat_map(|(_, objects)| *objects)
        .any(|(name, keys)| *name == object && keys.contains(&key))
}
