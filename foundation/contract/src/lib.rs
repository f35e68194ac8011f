//! Contract: the governed definitions of the house.
//!
//! Takes: YAML files (`contracts/`). Gives: checked, compiled definitions, or an error that names the file and the field.
//! Never: evaluates a signal on its own, reads a clock, guesses what a broken definition meant.

pub mod cohorts;
mod definitions;
mod error;
pub mod events;
mod expression;
pub mod features;
pub mod intents;
pub mod playbooks;
pub mod program;
mod source;
pub mod sources;
mod span;
pub mod tags;

pub use definitions::{Definitions, MEMBER_INPUTS};
pub use error::ContractError;
pub use expression::{Expression, Input, Inputs};
pub use source::{Source, check_name, parse, read_folder};
pub use span::Span;
