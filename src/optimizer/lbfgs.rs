/// Under way.
#[derive(Debug)]
pub struct Lbfgs<T>(T);
