//! footbridge's entrance.

use std::process::ExitCode;

fn main() -> ExitCode {
    footbridge::cli::main()
}
