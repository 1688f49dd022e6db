//! All variants of recipes, with their names in files.

use sparse_autoencoder::recipe::Variant;

pub(crate) const RECIPES: [(&str, Variant); 6] = [
    ("l1", Variant::L1),
    ("gated", Variant::Gated),
    ("top_k", Variant::TopK),
    ("batch_top_k", Variant::BatchTopK),
    ("jump_relu", Variant::JumpRelu),
    ("matryoshka", Variant::Matryoshka),
];
