//! Cohorts: named sets of people, with the time at which each entered.

use crate::tags::Tag;
use crate::{ContractError, Expression, Source};

/// A cohort.
#[derive(Clone, Debug)]
pub struct Cohort {
    /// Its name.
    pub name: String,
    /// Version of the definition, from 1.
    pub version: u32,
    /// What it means, for people.
    pub description: String,
    /// Who belongs to it.
    pub when: Expression,
}

impl Cohort {
    /// Reads and checks a cohort; it is written as a tag is.
    ///
    /// # Errors
    /// Naming the file and the field.
    pub fn read(source: &Source, known: &[String]) -> Result<Self, ContractError> {
        let Tag { name, version, description, when } = Tag::read(source, known)?;
        Ok(Self { name, version, description, when })
    }
}
