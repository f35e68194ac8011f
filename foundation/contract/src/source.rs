//! Files of definitions: where they are, how large they may be, how they are read.

use crate::ContractError;
use serde::de::DeserializeOwned;
use std::path::Path;

/// A definition is written by a person: what is larger than this is no definition.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// Files in one folder.
const FILES_MAX: usize = 2_000;
/// Characters of a name.
const NAME_MAX: usize = 64;

/// One file of definitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its path, for errors.
    pub file: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// A file that is part of the program.
    #[must_use]
    pub fn embedded(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned() }
    }
}

/// Reads all `*.yaml` and `*.yml` files of a folder below `dir`, by name; a folder that does not exist holds none.
///
/// # Errors
/// When `dir` does not exist, or a file is too large or cannot be read.
pub fn read_folder(dir: &Path, folder: &str) -> Result<Vec<Source>, ContractError> {
    if !dir.is_dir() {
        return Err(unreadable(dir, &"it is no folder"));
    }
    read_files(&dir.join(folder))
}

/// Reads all `*.yaml` and `*.yml` files of a folder, by name; one that does not exist holds none.
pub(crate) fn read_files(folder: &Path) -> Result<Vec<Source>, ContractError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let file = entry.map_err(|error| unreadable(folder, &error))?.path();
        if file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(file);
        }
        if files.len() > FILES_MAX {
            return Err(unreadable(folder, &format!("it holds more than {FILES_MAX} files")));
        }
    }
    files.sort();
    files.iter().map(|file| read_file(file)).collect()
}

fn read_file(file: &Path) -> Result<Source, ContractError> {
    let size = std::fs::metadata(file).map_err(|error| unreadable(file, &error))?.len();
    if size > FILE_BYTES_MAX {
        return Err(unreadable(file, &format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
    Ok(Source { file: file.display().to_string(), text })
}

fn unreadable(path: &Path, reason: &dyn std::fmt::Display) -> ContractError {
    ContractError::Read { file: path.display().to_string(), reason: reason.to_string() }
}

/// Reads one definition from a file.
///
/// # Errors
/// When the text is no YAML or has another shape; the error names the file and the field.
pub fn parse<T: DeserializeOwned>(source: &Source) -> Result<T, ContractError> {
    serde_yaml_ng::from_str(&source.text).map_err(|error| {
        let text = error.to_string();
        // The reader writes `field.path: reason` where it knows the path.
        let (field, reason) = match text.split_once(": ") {
            Some((field, reason)) if !field.contains(' ') => (field.to_owned(), reason.to_owned()),
            _ => (culprit::<T>(&source.text).unwrap_or_else(|| "the file".to_owned()), text),
        };
        ContractError::Invalid { file: source.file.clone(), field, reason }
    })
}

/// The top-level field that an error is about: the one without which there is another error, or none.
fn culprit<T: DeserializeOwned>(text: &str) -> Option<String> {
    let fields: serde_yaml_ng::Mapping = serde_yaml_ng::from_str(text).ok()?;
    let fault = |fields: &serde_yaml_ng::Mapping| {
        serde_yaml_ng::from_value::<T>(serde_yaml_ng::Value::Mapping(fields.clone()))
            .err()
            .map(|error| error.to_string())
    };
    let whole = fault(&fields)?;
    let without = |name: &serde_yaml_ng::Value| {
        let mut rest = fields.clone();
        rest.remove(name);
        fault(&rest)
    };
    fields.keys().find(|name| without(name).as_ref() != Some(&whole)).and_then(|name| Some(name.as_str()?.to_owned()))
}

/// Checks a name: lower-case letters, digits and underscores, a letter first, at most 64.
///
/// # Errors
/// When it is anything else.
pub fn check_name(file: &str, field: &str, name: &str) -> Result<(), ContractError> {
    let good = name.len() <= NAME_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if good {
        return Ok(());
    }
    let reason =
        format!("`{name}` is no name: a lower-case letter, then up to 63 lower-case letters, digits and underscores");
    Err(ContractError::invalid(file, field, reason))
}
