//! Answers on standard output.

use std::io::{self, Write};

/// Prints a line.
///
/// # Errors
/// When nobody reads any more, such as after `| head`; `println!` would panic.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}
