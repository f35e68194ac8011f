//! Event contracts: one JSON Schema for the properties of each known behaviour event.

use jsonschema::Validator;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Longest contract file that is read, bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Why a contract cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EventContractError {
    /// The file or folder cannot be read.
    #[error("{file}: {reason}. Check the path and its permissions")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system said.
        reason: String,
    },
    /// The text is not a contract.
    #[error("{file}:{line}: {reason}")]
    Malformed {
        /// The file.
        file: String,
        /// Line, from 1; 0 when the place is not known.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A value is wrong.
    #[error("{file}: at {pointer}: {reason}")]
    Invalid {
        /// The file.
        file: String,
        /// JSON pointer of the value.
        pointer: String,
        /// What is wrong.
        reason: String,
    },
}

/// What properties break of their contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer into the properties; empty for the properties themselves.
    pub pointer: String,
    /// The rule that is broken; never holds the value, which may be personal.
    pub reason: String,
}

/// The file form of a contract.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    version: u32,
    description: String,
    owner: String,
    #[serde(default)]
    aliases: Vec<String>,
    schema: Value,
}

/// The contract of one event, ready to check by.
#[derive(Debug)]
pub struct EventContract {
    /// Canonical name of the event, snake_case.
    pub name: String,
    /// Version, from 1.
    pub version: u32,
    /// What the event says.
    pub description: String,
    /// Who answers for it.
    pub owner: String,
    /// Other names, in snake_case, that mean the same event.
    pub aliases: Vec<String>,
    /// JSON Schema of the event's properties.
    pub schema: Value,
    validator: Validator,
}

impl EventContract {
    /// Reads a contract; `file` names it in errors.
    ///
    /// # Errors
    /// When the text is no YAML of this form, a name is not snake_case, or the schema does not compile.
    pub fn parse(file: &str, text: &str) -> Result<Self, EventContractError> {
        let read: File = serde_yaml_ng::from_str(text).map_err(|error| EventContractError::Malformed {
            file: file.to_owned(),
            line: error.location().map_or(0, |at| at.line()),
            reason: error.to_string(),
        })?;
        let invalid = |pointer: String, reason: &str| {
            Err(EventContractError::Invalid { file: file.to_owned(), pointer, reason: reason.to_owned() })
        };
        if !is_snake_case(&read.name) {
            return invalid("/name".to_owned(), "a name is snake_case: a-z, 0-9 and _, at most 100 characters");
        }
        if let Some(at) = read.aliases.iter().position(|alias| !is_snake_case(alias)) {
            return invalid(format!("/aliases/{at}"), "an alias is snake_case: a-z, 0-9 and _, at most 100 characters");
        }
        if read.version == 0 {
            return invalid("/version".to_owned(), "versions start at 1; 0 means that there is no contract");
        }
        if read.owner.trim().is_empty() {
            return invalid("/owner".to_owned(), "name the team that answers for the event");
        }
        let validator = match jsonschema::draft202012::new(&read.schema) {
            Ok(validator) => validator,
            Err(error) => return invalid(format!("/schema{}", error.instance_path()), &error.to_string()),
        };
        let File { name, version, description, owner, aliases, schema } = read;
        Ok(Self { name, version, description, owner, aliases, schema, validator })
    }

    /// Checks properties: a JSON object.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self, properties: &Value) -> Result<(), Violation> {
        // The yes-or-no check is several times faster than the one that explains.
        if self.validator.is_valid(properties) {
            return Ok(());
        }
        match self.validator.validate(properties) {
            Ok(()) => Ok(()),
            Err(error) => Err(Violation {
                pointer: error.instance_path().to_string(),
                reason: error.masked_with("the value").to_string(),
            }),
        }
    }
}

fn is_snake_case(name: &str) -> bool {
    let sane = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty() && name.len() <= 100 && name.bytes().all(sane)
}

/// All event contracts of a deployment.
#[derive(Debug, Default)]
pub struct Registry {
    contracts: Vec<EventContract>,
    names: HashMap<String, usize>,
}

impl Registry {
    /// The default contracts, which the program carries.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the texts are part of the program, and a test reads them all")]
    pub fn embedded() -> Self {
        Self::parse(EMBEDDED.iter().copied()).expect("the program's own contracts are sound")
    }

    /// All `*.yaml` files of a folder.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn load(folder: &Path) -> Result<Self, EventContractError> {
        let mut texts = Vec::new();
        for path in files(folder)? {
            let text = read(&path)?;
            texts.push((path.display().to_string(), text));
        }
        Self::parse(texts)
    }

    /// Everything that is wrong with the `*.yaml` files of a folder: one entry a file.
    #[must_use]
    pub fn problems(folder: &Path) -> Vec<EventContractError> {
        let paths = match files(folder) {
            Ok(paths) => paths,
            Err(error) => return vec![error],
        };
        let mut registry = Self::default();
        let mut problems = Vec::new();
        for path in paths {
            let file = path.display().to_string();
            let added =
                read(&path).and_then(|text| EventContract::parse(&file, &text)).and_then(|it| registry.add(&file, it));
            problems.extend(added.err());
        }
        problems
    }

    /// Contracts from texts, each with the name of its file.
    ///
    /// # Errors
    /// The first text that cannot be used.
    pub fn parse<F: AsRef<str>, T: AsRef<str>>(
        texts: impl IntoIterator<Item = (F, T)>,
    ) -> Result<Self, EventContractError> {
        let mut registry = Self::default();
        for (file, text) in texts {
            let contract = EventContract::parse(file.as_ref(), text.as_ref())?;
            registry.add(file.as_ref(), contract)?;
        }
        Ok(registry)
    }

    fn add(&mut self, file: &str, contract: EventContract) -> Result<(), EventContractError> {
        for name in std::iter::once(&contract.name).chain(&contract.aliases) {
            if let Some(other) = self.get(name) {
                let reason = format!("`{name}` is already claimed by the contract of `{}`", other.name);
                return Err(EventContractError::Invalid { file: file.to_owned(), pointer: "/name".to_owned(), reason });
            }
        }
        let at = self.contracts.len();
        for name in std::iter::once(&contract.name).chain(&contract.aliases) {
            self.names.insert(name.clone(), at);
        }
        self.contracts.push(contract);
        Ok(())
    }

    /// The contract of an event, by its canonical name or an alias, both in snake_case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&EventContract> {
        self.names.get(name).and_then(|&at| self.contracts.get(at))
    }

    /// All contracts.
    pub fn iter(&self) -> impl Iterator<Item = &EventContract> {
        self.contracts.iter()
    }
}

/// The contract files of a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, EventContractError> {
    let unreadable = |error: std::io::Error| EventContractError::Unreadable {
        file: folder.display().to_string(),
        reason: error.to_string(),
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<String, EventContractError> {
    let unreadable = |reason: String| EventContractError::Unreadable { file: path.display().to_string(), reason };
    let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(unreadable(format!("it has {size} bytes; a contract has at most {FILE_BYTES_MAX}")));
    }
    std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))
}

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$((
            concat!("contracts/events/", $name, ".yaml"),
            include_str!(concat!("../../../contracts/events/", $name, ".yaml")),
        )),*]
    };
}

/// The default contracts: file name and text.
const EMBEDDED: &[(&str, &str)] = embedded![
    "cart_shared",
    "cart_viewed",
    "checkout_started",
    "checkout_step_completed",
    "checkout_step_viewed",
    "coupon_applied",
    "coupon_denied",
    "coupon_entered",
    "coupon_removed",
    "login",
    "order_cancelled",
    "order_completed",
    "order_refunded",
    "order_updated",
    "page_view",
    "payment_info_entered",
    "product_added",
    "product_added_to_wishlist",
    "product_clicked",
    "product_list_filtered",
    "product_list_viewed",
    "product_removed",
    "product_removed_from_wishlist",
    "product_reviewed",
    "product_shared",
    "product_viewed",
    "promotion_clicked",
    "promotion_viewed",
    "scan",
    "search",
    "wishlist_product_added_to_cart",
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/events")
    }

    #[test]
    fn the_program_carries_every_contract_of_the_folder() {
        let carried = Registry::embedded();
        let loaded = Registry::load(&folder()).unwrap();
        let names = |registry: &Registry| registry.iter().map(|it| (it.name.clone(), it.version)).collect::<Vec<_>>();
        assert_eq!(names(&carried), names(&loaded));
        assert_eq!(Registry::problems(&folder()), []);
        for path in files(&folder()).unwrap() {
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            assert_eq!(loaded.get(&stem).unwrap().name, stem, "a file is named after its event");
        }
    }

    #[test]
    fn checks_what_an_event_is_useless_without() {
        let registry = Registry::embedded();
        let check = |name: &str, properties: Value| registry.get(name).unwrap().check(&properties);
        check("product_viewed", json!({"product_id": "p", "price": 18.99, "mine": [1]})).unwrap();
        check("product_viewed", json!({"sku": 7, "price": "18.99", "coupon": null})).unwrap();
        check("completed_order", json!({"order_id": "o", "products": [{"sku": "s"}]})).unwrap();
        assert!(check("product_viewed", json!({})).is_err());
        assert!(check("product_viewed", json!({"product_id": null})).is_err());
        assert!(check("product_viewed", json!({"product_id": ""})).is_err());
        assert!(check("order_completed", json!({"order_id": ""})).is_err());
        assert!(check("product_added", json!({"sku": "s", "quantity": -1})).is_err());
    }

    #[test]
    fn a_violation_names_the_place_and_not_the_value() {
        let registry = Registry::embedded();
        let contract = registry.get("order_completed").unwrap();
        let order = json!({"order_id": "o", "products": [{"sku": "s"}, {"sku": "t", "price": "secret"}]});
        let violation = contract.check(&order).unwrap_err();
        assert_eq!(violation.pointer, "/products/1/price");
        assert!(!violation.reason.contains("secret"), "{}", violation.reason);
    }

    #[test]
    fn errors_name_file_and_place() {
        let sound = "name: a\nversion: 1\ndescription: d\nowner: o\nschema: {type: object}\n";
        let error = |text: &str| EventContract::parse("x.yaml", text).unwrap_err().to_string();
        EventContract::parse("x.yaml", sound).unwrap();
        assert!(error("name: a\nversion: [\n").starts_with("x.yaml:"), "{}", error("name: a\nversion: [\n"));
        assert!(error(&format!("{sound}colour: red\n")).contains("colour"));
        assert!(error(&sound.replace("object", "objekt")).contains("at /schema/type"));
        assert!(error(&sound.replace("name: a", "name: A b")).contains("at /name"));
        assert!(error(&sound.replace("version: 1", "version: 0")).contains("at /version"));
        let twice = Registry::parse([("x.yaml", sound), ("y.yaml", sound)]).unwrap_err().to_string();
        assert!(twice.contains("y.yaml") && twice.contains("already claimed"), "{twice}");
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        assert!(matches!(Registry::load(Path::new("/no/such/folder")), Err(EventContractError::Unreadable { .. })));
    }
}
