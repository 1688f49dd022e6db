//! One model, many threads.

use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{Adam, SparseAutoencoder, Trainer};

#[test]
fn eight_threads_encode_by_one_model_while_another_is_trained() {
    let samples = DMatrix::from_fn(20, 300, |i, j| ((i * 7 + j * 3) % 11) as f32 / 11.0);
    let model = SparseAutoencoder::<f32>::builder()
        .layers([20, 64])
        .build()
        .unwrap();
    let expected = model.encode(&samples).unwrap();
    std::thread::scope(|scope| {
        let mut other = model.clone();
        let (samples, model, expected) = (&samples, &model, &expected);
        let trained = scope.spawn(move || {
            let mut trainer = Trainer::new(Adam::new(1e-2).unwrap()).epochs(20);
            trainer.fit(&mut other, samples).unwrap();
            other
        });
        for _ in 0..8 {
            scope.spawn(move || {
                for _ in 0..20 {
                    assert_eq!(&model.encode(samples).unwrap(), expected);
                }
            });
        }
        assert_ne!(trained.join().unwrap().parameters(), model.parameters());
    });
}
