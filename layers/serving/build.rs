//! Tells the linker of our test binaries where the DuckDB library lies, so that they start without LD_LIBRARY_PATH.

fn main() {
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    let Ok(directory) = std::env::var("DUCKDB_LIB_DIR") else { return };
    let directory = std::fs::canonicalize(&directory).unwrap_or_else(|_| directory.into());
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", directory.display());
}
