//! A workspace has no memory: what it was used for before changes no bit.

use crate::common::variants::{self, INPUT, Variant, inputs};
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::{Loss, Real, SparseAutoencoder, SparseHidden, Workspace};

/// What every pass over a batch writes.
#[derive(Debug, PartialEq)]
struct Passes<T: Real> {
    loss: Loss<T>,
    gradient: Vec<T>,
    hidden: DMatrix<T>,
    sparse: SparseHidden<T>,
    decoded: [DMatrix<T>; 3],
    errors: DVector<T>,
}

fn passes<T: Real>(
    model: &SparseAutoencoder<T>,
    x: &DMatrix<T>,
    workspace: &mut Workspace<T>,
) -> Passes<T> {
    // Whatever is not written would differ.
    let nan = T::of(f64::NAN);
    let ws = workspace;
    let mut gradient = vec![nan; model.layout().len()];
    let mut hidden = DMatrix::from_element(model.layout().hidden_size(), x.ncols(), nan);
    let mut sparse = SparseHidden::new();
    let rows = model.layout().output_size();
    let mut decoded = [(); 3].map(|()| DMatrix::from_element(rows, x.ncols(), nan));
    let input = &inputs(model, x);
    let mut errors = DVector::from_element(x.ncols(), nan);
    let loss = model.loss_and_gradient(x, &mut gradient, ws).unwrap();
    model.encode_into(input, &mut hidden, ws).unwrap();
    model.encode_sparse_into(input, &mut sparse, ws).unwrap();
    model.decode_into(&hidden, &mut decoded[0], ws).unwrap();
    model
        .decode_sparse_into(&sparse, &mut decoded[1], ws)
        .unwrap();
    model.reconstruct_into(input, &mut decoded[2], ws).unwrap();
    model
        .reconstruction_errors_into(x, &mut errors, ws)
        .unwrap();
    Passes {
        loss,
        gradient,
        hidden,
        sparse,
        decoded,
        errors,
    }
}

/// A model of this variant with more units and layers of other sizes.
fn larger<T: Real>(variant: &Variant) -> SparseAutoencoder<T> {
    let layers: Vec<_> = variant
        .shape
        .layers()
        .iter()
        .map(|size| 2 * size + 3)
        .collect();
    variant.builder().layers(layers).build().unwrap()
}

/// Checks one of every `stride` variants.
fn check<T: Real>(stride: usize) {
    let (many, few) = (variants::samples::<T>(70), variants::samples::<T>(4));
    let wide = DMatrix::from_fn(2 * INPUT + 3, 90, |i, j| {
        T::of(((i * 29 + j * 13 + 1) as f64 * 0.618_033_988_749_895).fract())
    });
    let variants: Vec<_> = variants::variants().into_iter().step_by(stride).collect();
    let fresh = |model: &_, x: &_| passes(model, x, &mut Workspace::new());
    // All of them share one workspace, and each follows one of another kind.
    let mut shared = Workspace::new();
    let mut order: Vec<_> = (0..variants.len()).collect();
    order.sort_by_key(|index| index % 97);
    for index in order {
        let variant = &variants[index];
        let (small, large) = (variant.trained::<T>(&many), larger::<T>(variant));
        let small_many = fresh(&small, &many);
        let small_few = fresh(&small, &few);
        let wide = &wide.rows(0, large.layout().sample_entries()).into_owned();
        let large_wide = fresh(&large, wide);
        let again = |workspace: &mut Workspace<T>, model: &_, x: &_, expected: &_| {
            assert!(passes(model, x, workspace) == *expected, "{variant:?}");
        };
        again(&mut shared, &large, wide, &large_wide);
        again(&mut shared, &small, &few, &small_few);
        again(&mut shared, &small, &many, &small_many);
        let own = &mut Workspace::new();
        again(own, &small, &few, &small_few);
        again(own, &large, wide, &large_wide);
        again(own, &small, &few, &small_few);
    }
}

#[test]
fn a_workspace_of_any_other_use_changes_no_bit_in_f64() {
    check::<f64>(1);
}

#[test]
fn a_workspace_of_any_other_use_changes_no_bit_in_f32() {
    check::<f32>(5);
}
