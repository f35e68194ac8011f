//! Console: the pages for people.
//!
//! Takes: facts about the running house, and the OpenAPI document of its doors. Gives: the first page at `/`, the same facts at
//! `/status.json`, and the API's reference at `/docs`. Never: shows a value or an id of a person, tells whoever shows no key what
//! went wrong, loads anything from elsewhere, changes anything.

mod door;
mod facts;
mod http;
mod page;
mod reference;
mod snapshot;

pub use facts::{About, DecisionLine, Facts, Freshness, Quantiles};
pub use http::router;
