//! Sources: who may deliver business facts to `/hooks/{connector}/{account}`, how a delivery is known to be theirs, and which
//! commands are made of it.

use crate::program::Program;
use crate::{ContractError, Source, Span, check_name, parse, read_folder};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The connectors whose deliveries are read by the programs of the contract.
pub const GENERIC: [&str; 2] = ["standard_webhooks", "json"];
/// How old a signed message may be where the contract does not say.
const TOLERANCE: Span = Span::seconds(300);
/// Longest tolerance: a message may be played again for as long.
const TOLERANCE_SECONDS_MAX: i64 = 86_400;
/// Longest time that a delivery is tried for.
const RETRY_SECONDS_MAX: i64 = 30 * 86_400;
/// Longest name of a kind.
const KIND_MAX: usize = 128;
/// Most headers that are kept.
const HEADERS_MAX: usize = 16;

const EMBEDDED: [(&str, &str); 2] = [
    ("contracts/sources/example_shop.yaml", include_str!("../../../contracts/sources/example_shop.yaml")),
    ("contracts/sources/example_till.yaml", include_str!("../../../contracts/sources/example_till.yaml")),
];

/// Where a secret is. A contract never holds one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// A variable of the environment.
    Environment(String),
    /// A file.
    File(PathBuf),
}

/// Where the id of a delivery is.
#[derive(Clone, Debug)]
pub enum DeliveryId {
    /// In a header.
    Header(String),
    /// In the body.
    Body(Program),
    /// Nowhere: equal bodies are one delivery.
    Digest,
}

/// A source of business facts.
#[derive(Clone, Debug)]
pub struct SourceContract {
    /// Name.
    pub name: String,
    /// Version, from 1.
    pub version: u32,
    /// What it delivers.
    pub description: String,
    /// Who answers for it.
    pub owner: String,
    /// The connector that receives it.
    pub connector: String,
    /// Its accounts, each with the places of the secrets that are valid for it.
    pub accounts: BTreeMap<String, Vec<SecretPlace>>,
    /// The header with the secret (`json`); `Authorization: Bearer` where none is named.
    pub secret_header: Option<String>,
    /// Where the id of a delivery is (`json`).
    pub delivery_id: DeliveryId,
    /// Headers that are kept with a delivery.
    pub keep_headers: Vec<String>,
    /// How old a signed message may be (`standard_webhooks`).
    pub tolerance: Span,
    /// How far ahead the sender's clock may be (`standard_webhooks`).
    pub tolerance_ahead: Span,
    /// Says what a delivery is.
    pub kind: Option<Program>,
    /// Says what it is about: the deliveries of one key are run in their order of arrival.
    pub entity_key: Option<Program>,
    /// Kinds of which no command is made.
    pub ignore: BTreeSet<String>,
    /// Codes of faults that may cure themselves, besides those that always may.
    pub retry_on: BTreeSet<String>,
    /// How long a delivery is tried again after such a fault; the configuration's time where it is not said.
    pub retry_for: Option<Span>,
    /// Makes commands of a delivery, by its kind.
    pub mappings: BTreeMap<String, Program>,
}

/// A contract as it stands in its file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    version: u32,
    description: String,
    owner: String,
    connector: String,
    accounts: BTreeMap<String, Account>,
    secret_header: Option<String>,
    delivery_id: Option<WrittenId>,
    #[serde(default)]
    keep_headers: Vec<String>,
    tolerance: Option<Span>,
    tolerance_ahead: Option<Span>,
    kind: Option<String>,
    entity_key: Option<String>,
    #[serde(default)]
    ignore: BTreeSet<String>,
    #[serde(default)]
    retry_on: BTreeSet<String>,
    retry_for: Option<Span>,
    #[serde(default)]
    mappings: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    secrets: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenId {
    header: Option<String>,
    jq: Option<String>,
}

impl std::str::FromStr for SecretPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The text is not repeated: whoever puts the secret itself here must not find it in a log.
        let wrong = "a secret is named by its place, `env:NAME` or `file:/path`, and never written down here";
        match text.split_once(':') {
            Some(("env", name)) => {
                let good = (1..=128).contains(&name.len())
                    && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
                if good { Ok(Self::Environment(name.to_owned())) } else { Err(wrong.to_owned()) }
            }
            Some(("file", path)) if Path::new(path).is_absolute() => Ok(Self::File(PathBuf::from(path))),
            _ => Err(wrong.to_owned()),
        }
    }
}

impl std::fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "the variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}

impl SourceContract {
    /// Reads and checks a contract; its programs are compiled.
    ///
    /// # Errors
    /// Naming the file and the field, and in programs line and column.
    pub fn read(source: &Source) -> Result<Self, ContractError> {
        let written: Written = parse(source)?;
        let of = File(&source.file);
        of.facts(&written)?;
        let generic = GENERIC.contains(&written.connector.as_str());
        let kind = written.kind.as_deref().map(|code| of.program("kind", code)).transpose()?;
        if generic && kind.is_none() {
            return of.wrong("kind", "a program that says what a delivery is, such as .type");
        }
        if generic && written.mappings.is_empty() {
            return of.wrong("mappings", "at least one kind is mapped");
        }
        let mut mappings = BTreeMap::new();
        for (name, code) in &written.mappings {
            of.kind("mappings", name)?;
            mappings.insert(name.clone(), of.program(&format!("mappings.{name}"), code)?);
        }
        for name in &written.ignore {
            of.kind("ignore", name)?;
            if mappings.contains_key(name) {
                return of.wrong("ignore", &format!("`{name}` is mapped, too"));
            }
        }
        let entity_key = written.entity_key.as_deref().map(|code| of.program("entity_key", code)).transpose()?;
        Ok(Self {
            accounts: of.accounts(&written.accounts)?,
            delivery_id: of.delivery_id(written.delivery_id.as_ref())?,
            tolerance: written.tolerance.unwrap_or(TOLERANCE),
            tolerance_ahead: written.tolerance_ahead.or(written.tolerance).unwrap_or(TOLERANCE),
            name: written.name,
            version: written.version,
            description: written.description,
            owner: written.owner,
            connector: written.connector,
            secret_header: written.secret_header,
            keep_headers: written.keep_headers,
            kind,
            entity_key,
            ignore: written.ignore,
            retry_on: written.retry_on,
            retry_for: written.retry_for,
            mappings,
        })
    }
}

/// The file that is being checked.
struct File<'a>(&'a str);

impl File<'_> {
    fn wrong<T>(&self, field: &str, reason: &str) -> Result<T, ContractError> {
        Err(ContractError::invalid(self.0, field, reason))
    }

    /// Checks what needs no compiling.
    fn facts(&self, written: &Written) -> Result<(), ContractError> {
        check_name(self.0, "name", &written.name)?;
        check_name(self.0, "connector", &written.connector)?;
        for (field, text) in [("description", &written.description), ("owner", &written.owner)] {
            if text.trim().is_empty() || text.len() > 1_000 {
                return self.wrong(field, "say it in 1 to 1,000 bytes");
            }
        }
        if written.version == 0 {
            return self.wrong("version", "versions are whole numbers from 1");
        }
        let only = |given: bool, field: &str, connector: &str| {
            if given && written.connector != connector && GENERIC.contains(&written.connector.as_str()) {
                return self.wrong(field, &format!("this is for the connector {connector} only"));
            }
            Ok(())
        };
        only(written.secret_header.is_some(), "secret_header", "json")?;
        only(written.delivery_id.is_some(), "delivery_id", "json")?;
        only(written.tolerance.is_some(), "tolerance", "standard_webhooks")?;
        only(written.tolerance_ahead.is_some(), "tolerance_ahead", "standard_webhooks")?;
        for (field, span, most) in [
            ("tolerance", written.tolerance, TOLERANCE_SECONDS_MAX),
            ("tolerance_ahead", written.tolerance_ahead, TOLERANCE_SECONDS_MAX),
            ("retry_for", written.retry_for, RETRY_SECONDS_MAX),
        ] {
            if span.is_some_and(|span| span.as_seconds() > most) {
                return self.wrong(field, &format!("it is {} at most", Span::seconds(most)));
            }
        }
        if let Some(header) = &written.secret_header {
            self.header("secret_header", header)?;
        }
        if written.keep_headers.len() > HEADERS_MAX {
            return self.wrong("keep_headers", &format!("at most {HEADERS_MAX} headers are kept"));
        }
        for header in &written.keep_headers {
            self.header("keep_headers", header)?;
            let secret = ["authorization", "cookie", "webhook-signature", "proxy-authorization"];
            if secret.contains(&header.as_str()) || written.secret_header.as_ref() == Some(header) {
                return self.wrong("keep_headers", &format!("`{header}` holds a secret and is never kept"));
            }
        }
        match written.retry_on.iter().find(|code| !code.contains('.') || code.len() > 128) {
            Some(code) => self.wrong("retry_on", &format!("`{code}` is no code of a fault, such as oltp.over_return")),
            None => Ok(()),
        }
    }

    fn header(&self, field: &str, name: &str) -> Result<(), ContractError> {
        let token = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=64).contains(&name.len()) && name.bytes().all(token) {
            return Ok(());
        }
        self.wrong(field, &format!("`{name}` is no header: lower-case letters, digits and `-`, at most 64"))
    }

    fn kind(&self, field: &str, name: &str) -> Result<(), ContractError> {
        if (1..=KIND_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
            return Ok(());
        }
        self.wrong(field, &format!("a kind has 1 to {KIND_MAX} characters"))
    }

    fn program(&self, field: &str, code: &str) -> Result<Program, ContractError> {
        Program::compile(code).map_err(|error| ContractError::invalid(self.0, field, error.to_string()))
    }

    fn accounts(
        &self,
        written: &BTreeMap<String, Account>,
    ) -> Result<BTreeMap<String, Vec<SecretPlace>>, ContractError> {
        if written.is_empty() {
            return self.wrong("accounts", "name at least one account with its secrets");
        }
        let mut accounts = BTreeMap::new();
        for (name, account) in written {
            let field = format!("accounts.{name}");
            let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            if !(1..=64).contains(&name.len()) || !name.bytes().all(good) {
                return self
                    .wrong(&field, "an account has 1 to 64 letters, digits, `_` and `-`: it stands in the path");
            }
            if account.secrets.is_empty() || account.secrets.len() > 8 {
                return self.wrong(&format!("{field}.secrets"), "1 to 8 secrets are valid at a time");
            }
            let places: Result<Vec<SecretPlace>, String> = account.secrets.iter().map(|text| text.parse()).collect();
            let places = places.map_err(|why| ContractError::invalid(self.0, &format!("{field}.secrets"), why))?;
            accounts.insert(name.clone(), places);
        }
        Ok(accounts)
    }

    fn delivery_id(&self, written: Option<&WrittenId>) -> Result<DeliveryId, ContractError> {
        match written {
            None => Ok(DeliveryId::Digest),
            Some(WrittenId { header: Some(header), jq: None }) => {
                self.header("delivery_id.header", header)?;
                Ok(DeliveryId::Header(header.clone()))
            }
            Some(WrittenId { header: None, jq: Some(code) }) => {
                Ok(DeliveryId::Body(self.program("delivery_id.jq", code)?))
            }
            Some(_) => self.wrong("delivery_id", "it is either a `header` or a `jq` program"),
        }
    }
}

/// All sources of a deployment.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    by_name: BTreeMap<String, SourceContract>,
}

impl Sources {
    /// The sources that come with the program: examples, which are closed until somebody gives them a secret.
    ///
    /// # Panics
    /// Never: a test reads them.
    #[must_use]
    #[expect(clippy::expect_used, reason = "they are part of the program, and a test reads them")]
    pub fn embedded() -> Self {
        let sources = EMBEDDED.map(|(file, text)| Source::embedded(file, text));
        Self::read(&sources).expect("the shipped sources are valid")
    }

    /// Reads the sources of a folder of contracts: the files of its folder `sources`.
    ///
    /// # Errors
    /// Naming the file and the field, and in programs line and column.
    pub fn load(dir: &Path) -> Result<Self, ContractError> {
        Self::read(&read_folder(dir, "sources")?)
    }

    /// Reads sources from texts.
    ///
    /// # Errors
    /// As [`Sources::load`].
    pub fn read(sources: &[Source]) -> Result<Self, ContractError> {
        let mut by_name = BTreeMap::new();
        let mut paths = BTreeSet::new();
        for source in sources {
            let contract = SourceContract::read(source)?;
            for account in contract.accounts.keys() {
                if !paths.insert((contract.connector.clone(), account.clone())) {
                    let reason = format!("/hooks/{}/{account} is claimed by another source", contract.connector);
                    return Err(ContractError::invalid(&source.file, &format!("accounts.{account}"), reason));
                }
            }
            if let Some(other) = by_name.insert(contract.name.clone(), contract) {
                let reason = format!("another file has a source `{}` too; rename one", other.name);
                return Err(ContractError::invalid(&source.file, "name", reason));
            }
        }
        Ok(Self { by_name })
    }

    /// All sources, by name.
    pub fn iter(&self) -> impl Iterator<Item = &SourceContract> {
        self.by_name.values()
    }

    /// The source of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&SourceContract> {
        self.by_name.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = EMBEDDED[0].1;
    const TILL: &str = EMBEDDED[1].1;

    #[test]
    fn the_shipped_sources_are_valid_and_are_those_of_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts");
        let names = |sources: &Sources| sources.iter().map(|source| source.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&Sources::load(&folder).unwrap()), names(&Sources::embedded()));
        let shop = Sources::embedded().get("example_shop").unwrap().clone();
        assert_eq!((shop.tolerance.to_string(), shop.accounts.len()), ("5m".to_owned(), 1));
    }

    #[test]
    fn errors_name_the_file_and_the_field() {
        for (text, from, to, named) in [
            (SHOP, "name: example_shop", "name: Shop", "name"),
            (SHOP, "version: 1", "version: 0", "version"),
            (SHOP, "env:EXAMPLE_SHOP_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "accounts.main.secrets"),
            (SHOP, "main:", "m/n:", "accounts.m/n"),
            (SHOP, "tolerance: 5m", "tolerance: 2d", "tolerance"),
            (SHOP, "kind: .type", "kind: .type |", "kind"),
            (SHOP, "order.paid:", "? \"\"\n  :", "mappings"),
            (SHOP, "ignore: [ping]", "ignore: [order.paid]", "ignore"),
            (SHOP, "retry_for: 72h", "retry_for: 31d", "retry_for"),
            (SHOP, "tolerance: 5m", "secret_header: x-key", "secret_header"),
            (TILL, "keep_headers: [x-till]", "keep_headers: [x-api-key]", "keep_headers"),
            (TILL, "keep_headers: [x-till]", "keep_headers: [X Till]", "keep_headers"),
            (TILL, "secret_header: x-api-key", "tolerance: 5m", "tolerance"),
            (TILL, "{ header: x-delivery-id }", "{ header: x-delivery-id, jq: .id }", "delivery_id"),
        ] {
            assert!(text.contains(from), "{from}");
            let error = Sources::read(&[Source::embedded("s.yaml", &text.replacen(from, to, 1))]).unwrap_err();
            let ContractError::Invalid { file, field, .. } = &error else { panic!("{error}") };
            assert_eq!((file.as_str(), field.as_str()), ("s.yaml", named), "{to}: {error}");
            assert!(!error.to_string().contains("whsec_"), "a secret is repeated: {error}");
        }
    }

    #[test]
    fn a_fault_in_a_program_has_its_line_and_column() {
        let broken = SHOP.replacen(".data.total", ".data.total | cents", 1);
        let error = Sources::read(&[Source::embedded("s.yaml", &broken)]).unwrap_err().to_string();
        let line = error.split("line ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        assert!(error.starts_with("s.yaml: mappings.order.paid: line ") && line.parse::<u32>().unwrap() > 5, "{error}");
        assert!(error.contains("there is no filter `cents` here"), "{error}");
    }

    #[test]
    fn a_path_belongs_to_one_source() {
        let sources = [Source::embedded("a.yaml", SHOP), Source::embedded("b.yaml", SHOP)];
        assert!(Sources::read(&sources).unwrap_err().to_string().contains("claimed by another source"));
    }
}
