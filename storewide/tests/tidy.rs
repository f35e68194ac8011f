//! The house keeps its own rules: directions of dependencies, ceilings of files and functions, headers, names.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use syn::visit::{self, Visit};

const FILE_LINES_MAX: usize = 800;
const FILE_LINES_MEDIAN: usize = 150;
const FUNCTION_LINES_MAX: usize = 70;
const LIB_LINES_MAX: usize = 80;
const MODEL_LINES_MAX: usize = 3_000;
const BANNED_FILES: [&str; 5] = ["utils.rs", "common.rs", "types.rs", "helpers.rs", "manager.rs"];

/// Drivers and where they may be used.
const DRIVERS: [(&str, &[&str]); 6] = [
    ("duckdb", &["engine-duckdb"]),
    ("fjall", &["engine-fjall"]),
    ("rdkafka", &["engine-kafka"]),
    ("pgwire-replication", &["capture"]),
    ("deadpool-postgres", &["oltp"]),
    ("tokio-postgres", &["oltp", "capture", "engine-postgres"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What `cargo metadata` says of the workspace, as far as it is asked here. (The crate for it would switch a feature of serde_json
/// on in tests only, and everything above it would be built twice.)
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// None for what the library itself needs.
    kind: Option<String>,
}

impl Package {
    fn needs(&self) -> impl Iterator<Item = &str> {
        self.dependencies
            .iter()
            .filter(|dependency| dependency.kind.is_none())
            .map(|dependency| dependency.name.as_str())
    }
}

fn metadata() -> Metadata {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]).arg(root().join("Cargo.toml"));
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The floor of the house that a package stands on, by its folder.
fn floor(package: &Package) -> String {
    let path = package.manifest_path.strip_prefix(root().canonicalize().unwrap()).unwrap();
    path.components().next().unwrap().as_os_str().to_str().unwrap().to_owned()
}

fn edges(metadata: &Metadata) -> Vec<(String, String, String, String)> {
    let floors: BTreeMap<_, _> =
        metadata.packages.iter().map(|package| (package.name.as_str(), floor(package))).collect();
    let mut edges = Vec::new();
    for package in &metadata.packages {
        for needed in package.needs() {
            if let Some(to) = floors.get(needed) {
                edges.push((package.name.clone(), floor(package), needed.to_owned(), to.clone()));
            }
        }
    }
    edges
}

#[test]
fn dependencies_point_down() {
    let rank = |floor: &str| match floor {
        "storewide" => 3,
        "surfaces" | "connectors" | "engines" => 2,
        "layers" => 1,
        "foundation" => 0,
        other => panic!("`{other}` is no floor of the house"),
    };
    for (from, from_floor, to, to_floor) in edges(&metadata()) {
        let ok = match (from_floor.as_str(), to_floor.as_str()) {
            ("layers", "layers") => to == "bus" || (to == "oltp" && ["access", "decisions"].contains(&from.as_str())),
            ("foundation", "foundation") => true,
            (a, b) => rank(a) > rank(b),
        };
        assert!(ok, "{from} must not depend on {to}: layers meet on the bus, and dependencies point down");
    }
}

#[test]
fn drivers_stay_in_their_crates() {
    for package in &metadata().packages {
        for needed in package.needs() {
            if let Some((driver, homes)) = DRIVERS.iter().find(|(driver, _)| *driver == needed) {
                assert!(homes.contains(&package.name.as_str()), "{} must not use the driver {driver}", package.name);
            }
            let anyhow_elsewhere = needed == "anyhow" && package.name != "storewide";
            assert!(!anyhow_elsewhere, "{}: anyhow is for the binary only", package.name);
        }
    }
}

/// Running and testing share one build: no test switches a feature on in what the program uses.
#[test]
fn tests_switch_nothing_on() {
    let packages = |edges: &str| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["tree", "--workspace", "--offline", "--prefix", "none", "--format", "{p} {f}", "--edges", edges]);
        let output = cargo.current_dir(root()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect::<BTreeSet<_>>()
    };
    let (running, testing) = (packages("normal,build"), packages("normal,build,dev"));
    let twice: Vec<_> = running.difference(&testing).collect();
    assert!(twice.is_empty(), "built a second time for the tests, with other features: {twice:?}");
}

fn rust_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders: Vec<_> = ["foundation", "layers", "engines", "surfaces", "connectors", "storewide"]
        .map(|folder| root().join(folder))
        .to_vec();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

#[test]
fn files_stay_small_and_have_names() {
    let mut lengths = Vec::new();
    let mut model = 0;
    for path in rust_files() {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(!BANNED_FILES.contains(&name), "{}: name the file after what it holds", path.display());
        assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines, over {FILE_LINES_MAX}", path.display());
        assert!(
            name != "lib.rs" || lines <= LIB_LINES_MAX,
            "{} has {lines} lines, over {LIB_LINES_MAX}",
            path.display()
        );
        if path.starts_with(root().join("foundation/model")) {
            model += lines;
        }
        lengths.push(lines);
    }
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= FILE_LINES_MEDIAN, "the median file has {median} lines, over {FILE_LINES_MEDIAN}");
    assert!(model <= MODEL_LINES_MAX, "foundation/model has {model} lines, over {MODEL_LINES_MAX}");
}

struct Functions {
    too_long: Vec<String>,
    path: PathBuf,
}

impl Functions {
    fn look(&mut self, name: &syn::Ident, block: &syn::Block) {
        let span = block.brace_token.span;
        let lines = span.close().end().line - span.open().start().line + 1;
        if lines > FUNCTION_LINES_MAX {
            self.too_long.push(format!("{}: {name} has {lines} lines", self.path.display()));
        }
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.look(&function.sig.ident, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.look(&function.sig.ident, &function.block);
        visit::visit_impl_item_fn(self, function);
    }
}

#[test]
fn functions_stay_short() {
    let mut too_long = Vec::new();
    for path in rust_files() {
        let file = syn::parse_file(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let mut functions = Functions { too_long: Vec::new(), path };
        functions.visit_file(&file);
        too_long.extend(functions.too_long);
    }
    assert!(too_long.is_empty(), "over {FUNCTION_LINES_MAX} lines:\n{}", too_long.join("\n"));
}

#[test]
fn every_library_says_what_it_takes_gives_and_never_does() {
    for path in rust_files().into_iter().filter(|path| path.ends_with("src/lib.rs")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let header: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        for word in ["Takes:", "Gives:", "Never:"] {
            assert!(header.contains(word), "{} opens without `{word}`", path.display());
        }
    }
}

/// Whoever filters the log names a layer, and finds all that is of it.
#[test]
fn logs_are_named_after_their_layer() {
    for path in rust_files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let of = path.strip_prefix(root()).unwrap();
        for target in text.split("target: \"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let layer = model::Layer::ALL.iter().any(|layer| layer.name() == target);
            let own = of.strip_prefix("layers").is_ok_and(|path| !path.starts_with(target));
            assert!((layer && !own) || target == "storewide", "{}: `{target}` is not its layer", of.display());
        }
    }
}

#[test]
fn every_layer_has_its_page_and_its_noun() {
    for layer in model::Layer::ALL {
        let page = root().join(format!("docs/walk/{layer}.md"));
        assert!(page.is_file(), "docs/walk/{layer}.md is missing");
        let manifest = root().join(format!("layers/{layer}/Cargo.toml"));
        let text = std::fs::read_to_string(&manifest).unwrap();
        assert!(text.contains(&format!("name = \"{layer}\"")), "layers/{layer} must hold the crate `{layer}`");
    }
}
