//! One model, many threads.

use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{Adam, SparseAutoencoder, Trainer};

#[test]
fn eight_threads_encode_by_one_model_while_another_is_trained() {
    // Large enough that a single pass already uses all of rayon's threads.
    let model = SparseAutoencoder::<f32>::builder().layers([120, 400]);
    let model = model.seed(3).build().unwrap();
    let batches: Vec<DMatrix<f32>> = (0..8)
        .map(|b| DMatrix::from_fn(120, 200, |i, j| ((i * 7 + j * 11 + b) % 13) as f32 / 12.0))
        .collect();
    let alone: Vec<_> = batches.iter().map(|x| model.encode(x).unwrap()).collect();
    assert_ne!(alone[0], alone[1]);
    std::thread::scope(|scope| {
        let (mut other, model, samples) = (model.clone(), &model, &batches[0]);
        let trained = scope.spawn(move || {
            let mut trainer = Trainer::new(Adam::new(1e-2).unwrap()).epochs(5);
            trainer.fit(&mut other, samples).unwrap();
            other
        });
        for (samples, expected) in batches.iter().zip(&alone) {
            scope.spawn(move || {
                for _ in 0..5 {
                    assert_eq!(&model.encode(samples).unwrap(), expected);
                }
            });
        }
        assert_ne!(trained.join().unwrap().parameters(), model.parameters());
    });
}
