//! Configuration: `storewide.toml`, each key overridable by `STOREWIDE_SECTION__KEY`.

use figment::Figment;
use figment::providers::{Env, Format, Toml};
use figment::value::Value;
use serde::de::DeserializeOwned;
use std::path::Path;

/// A bad configuration.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {0}. Mend the key in storewide.toml or in the environment (STOREWIDE_SECTION__KEY)")]
pub struct ConfigError(String);

/// A configuration as read; each layer takes its own section.
#[derive(Clone, Debug)]
pub struct Config {
    figment: Figment,
}

impl Config {
    /// Reads a file, if one is given, and the environment.
    ///
    /// # Errors
    /// When a file is given and does not exist.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        if let Some(path) = file {
            if !path.is_file() {
                return Err(ConfigError(format!("there is no file {}", path.display())));
            }
            figment = figment.merge(Toml::file(path));
        }
        Ok(Self { figment: figment.merge(Env::prefixed("STOREWIDE_").split("__")) })
    }

    /// A section, such as `gateway`; its defaults where the section is missing.
    ///
    /// # Errors
    /// When a value has the wrong type or a key is unknown.
    pub fn section<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T, ConfigError> {
        if self.figment.find_value(name).is_err() {
            return Ok(T::default());
        }
        self.figment.extract_inner(name).map_err(|error| {
            let key = error.path.iter().fold(name.to_owned(), |key, part| match part.as_str() {
                part if part == name => key,
                part => format!("{key}.{part}"),
            });
            ConfigError(format!("{key}: {}", error.kind))
        })
    }

    /// Refuses sections that nobody reads: a section with a typing error would be passed over in silence.
    ///
    /// # Errors
    /// Naming the section.
    pub fn only(&self, sections: &[&str]) -> Result<(), ConfigError> {
        let all: figment::value::Dict = self.figment.extract().map_err(|error| ConfigError(error.to_string()))?;
        // Single values are variables of the command line, such as STOREWIDE_DATA_DIR.
        let unknown =
            |(name, value): &(&String, &Value)| value.as_dict().is_some() && !sections.contains(&name.as_str());
        match all.iter().find(unknown) {
            Some((name, _)) => {
                Err(ConfigError(format!("there is no section [{name}]; there are {}", sections.join(", "))))
            }
            None => Ok(()),
        }
    }

    /// Sets a value over file and environment, such as a command line option.
    #[must_use]
    pub fn with(self, key: &str, value: impl serde::Serialize) -> Self {
        Self { figment: self.figment.merge(figment::providers::Serialized::default(key, value)) }
    }
}
