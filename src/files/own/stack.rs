//! Stacks: several models, each with a prefix.

use super::{Contents, Kind, Reading, STACK, described, invalid, model};
use crate::{Error, Real, Stack};

const COUNT: &str = "autoencoders";

fn prefix(index: usize) -> String {
    format!("autoencoders.{index}.")
}

impl<T: Real> Kind for Stack<T> {
    type Scalar = T;
    const KIND: &'static str = STACK;

    fn contents(&self) -> Contents<'_, T> {
        let mut texts = vec![(COUNT.to_owned(), self.layers().len().to_string())];
        let mut tensors = Vec::new();
        for (index, autoencoder) in self.layers().iter().enumerate() {
            let prefix = prefix(index);
            texts.push(model::text(&prefix, autoencoder));
            tensors.extend(model::parts(&prefix, autoencoder));
        }
        Contents { texts, tensors }
    }

    fn read(file: &mut Reading) -> Result<Self, Error> {
        let count: usize = described(file, COUNT)?;
        // The count may lie: each autoencoder must be there.
        let autoencoders = (0..count).map(|index| model::read(file, &prefix(index)));
        let autoencoders = autoencoders.collect::<Result<_, _>>()?;
        Self::new(autoencoders).map_err(invalid(file))
    }
}
