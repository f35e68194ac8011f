//! The program `storewide`.

use clap::Parser;
use std::io::ErrorKind;
use std::process::ExitCode;
use storewide::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("storewide: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(storewide::run(cli)) {
        Ok(code) => code,
        // Whoever read the answer has read enough, such as `head`.
        Err(error) if error.downcast_ref::<std::io::Error>().is_some_and(|of| of.kind() == ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("storewide: {error:#}");
            ExitCode::FAILURE
        }
    }
}
