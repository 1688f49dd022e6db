/// Under way.
#[derive(Debug)]
pub struct Sgd<T>(T);
