//! Tags: what can be said of a person now, as a rule over features and the member's profile.

use crate::{ContractError, Expression, Source, check_name, parse};
use serde::Deserialize;

/// A tag.
#[derive(Clone, Debug)]
pub struct Tag {
    /// Its name.
    pub name: String,
    /// Version of the definition, from 1.
    pub version: u32,
    /// What it means, for people.
    pub description: String,
    /// When a person has it.
    pub when: Expression,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    version: u32,
    description: String,
    expression: String,
}

impl Tag {
    /// Reads and checks a tag; `known` are the names that its expression may read.
    ///
    /// # Errors
    /// Naming the file and the field.
    pub fn read(source: &Source, known: &[String]) -> Result<Self, ContractError> {
        let written: Written = parse(source)?;
        check_name(&source.file, "name", &written.name)?;
        if written.version == 0 {
            return Err(ContractError::invalid(&source.file, "version", "versions start at 1"));
        }
        let fail = |reason: String| ContractError::invalid(&source.file, "expression", reason);
        let when = Expression::compile(&written.expression).map_err(fail)?;
        if let Some(name) = when.reads().iter().find(|name| !known.contains(name)) {
            return Err(fail(format!("`{name}` is neither a feature nor one of {}", crate::MEMBER_INPUTS.join(", "))));
        }
        Ok(Self { name: written.name, version: written.version, description: written.description, when })
    }
}
