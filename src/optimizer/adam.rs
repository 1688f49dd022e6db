/// Under way.
#[derive(Debug)]
pub struct Adam<T>(T);
