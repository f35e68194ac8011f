//! Event contracts: one JSON Schema for the properties of each known behaviour event.

use crate::source::read_files;
use crate::{ContractError, Source, check_name, parse};
use jsonschema::Validator;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

/// What properties break of their contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer into the properties; empty for the properties themselves.
    pub pointer: String,
    /// The rule that is broken; never holds the value, which may be personal.
    pub reason: String,
}

/// A contract as it stands in its file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
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
    /// Reads and checks a contract.
    ///
    /// # Errors
    /// Naming the file and the field.
    pub fn read(source: &Source) -> Result<Self, ContractError> {
        let written: Written = parse(source)?;
        let fail = |field: &str, reason: &str| Err(ContractError::invalid(&source.file, field, reason));
        check_name(&source.file, "name", &written.name)?;
        for alias in &written.aliases {
            check_name(&source.file, "aliases", alias)?;
        }
        if written.version == 0 {
            return fail("version", "versions start at 1; 0 means that there is no contract");
        }
        if written.owner.trim().is_empty() {
            return fail("owner", "name the team that answers for the event");
        }
        let validator = match jsonschema::draft202012::new(&written.schema) {
            Ok(validator) => validator,
            Err(error) => return fail(&format!("schema{}", error.instance_path()), &error.to_string()),
        };
        let Written { name, version, description, owner, aliases, schema } = written;
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
        let sources: Vec<Source> = EMBEDDED.iter().map(|(file, text)| Source::embedded(file, text)).collect();
        Self::read(&sources).expect("the program's own contracts are sound")
    }

    /// All files of a folder, as [`crate::read_folder`] reads them: a folder that does not exist holds no contracts.
    ///
    /// # Errors
    /// Naming the first file that cannot be used, and the field.
    pub fn load(folder: &Path) -> Result<Self, ContractError> {
        Self::read(&read_files(folder)?)
    }

    /// Reads contracts from texts.
    ///
    /// # Errors
    /// Naming the first file that cannot be used, and the field.
    pub fn read(sources: &[Source]) -> Result<Self, ContractError> {
        let mut registry = Self::default();
        for source in sources {
            registry.add(&source.file, EventContract::read(source)?)?;
        }
        Ok(registry)
    }

    fn add(&mut self, file: &str, contract: EventContract) -> Result<(), ContractError> {
        for name in std::iter::once(&contract.name).chain(&contract.aliases) {
            if let Some(other) = self.get(name) {
                let reason = format!("`{name}` is already claimed by the contract of `{}`", other.name);
                return Err(ContractError::invalid(file, "name", reason));
            }
        }
        let at = self.contracts.len();
        for name in std::iter::once(&contract.name).chain(&contract.aliases) {
            self.names.insert(name.clone(), at);
        }
        self.contracts.push(contract);
        Ok(())
    }

    /// All contracts, in the order of their files.
    pub fn iter(&self) -> impl Iterator<Item = &EventContract> {
        self.contracts.iter()
    }

    /// The contract of an event, by its canonical name or an alias, both in snake_case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&EventContract> {
        self.names.get(name).and_then(|&at| self.contracts.get(at))
    }
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
    "click",
    "content_viewed",
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
    "share",
    "wishlist_product_added_to_cart",
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_program_carries_every_contract_of_the_folder() {
        let carried = Registry::embedded();
        let loaded = Registry::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/events")).unwrap();
        let names =
            |registry: &Registry| registry.contracts.iter().map(|it| (it.name.clone(), it.version)).collect::<Vec<_>>();
        assert_eq!(names(&carried), names(&loaded));
        for (file, _) in EMBEDDED {
            let stem = Path::new(file).file_stem().unwrap().to_str().unwrap();
            assert_eq!(carried.get(stem).unwrap().name, stem, "a file is named after its event");
        }
    }

    #[test]
    fn every_signal_of_the_model_has_a_contract() {
        let registry = Registry::embedded();
        for name in [
            "page_view",
            "product_viewed",
            "product_list_viewed",
            "search",
            "click",
            "product_added",
            "product_removed",
            "cart_viewed",
            "checkout_started",
            "coupon_applied",
            "login",
            "scan",
            "content_viewed",
            "share",
            "order_completed",
        ] {
            assert!(registry.get(name).is_some(), "{name}");
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
    fn errors_name_the_file_and_the_field() {
        let sound = "name: a\nversion: 1\ndescription: d\nowner: o\nschema: {type: object}\n";
        let read = |text: &str| EventContract::read(&Source::embedded("x.yaml", text));
        read(sound).unwrap();
        for (text, start) in [
            ("name: a\nversion: [\n".to_owned(), "x.yaml: "),
            (format!("{sound}colour: red\n"), "x.yaml: colour: "),
            (sound.replace("object", "objekt"), "x.yaml: schema/type: "),
            (sound.replace("name: a", "name: A b"), "x.yaml: name: "),
            (format!("{sound}aliases: [b, B]\n"), "x.yaml: aliases: "),
            (sound.replace("version: 1", "version: 0"), "x.yaml: version: "),
            (sound.replace("owner: o", "owner: ' '"), "x.yaml: owner: "),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.starts_with(start), "{error}");
        }
        let twice = ["x.yaml", "y.yaml"].map(|file| Source::embedded(file, sound));
        let twice = Registry::read(&twice).unwrap_err().to_string();
        assert!(twice.starts_with("y.yaml: name: ") && twice.contains("already claimed"), "{twice}");
    }

    #[test]
    fn both_endings_are_read_and_a_missing_folder_holds_nothing() {
        let folder = std::env::temp_dir().join(format!("storewide-contracts-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (file, name) in [("a.yaml", "a"), ("b.yml", "b"), ("c.txt", "c")] {
            let text = format!("name: {name}\nversion: 1\ndescription: d\nowner: o\nschema: {{}}\n");
            std::fs::write(folder.join(file), text).unwrap();
        }
        let registry = Registry::load(&folder);
        std::fs::remove_dir_all(&folder).unwrap();
        let registry = registry.unwrap();
        assert!(registry.get("a").is_some() && registry.get("b").is_some() && registry.get("c").is_none());
        assert!(Registry::load(&folder).unwrap().get("a").is_none());
    }
}
