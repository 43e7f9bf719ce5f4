//! footbridge's entrance.

fn main() {}
