//! Model: the words of the house.
//!
//! Takes: nothing of ours. Gives: typed ids, money, time, identities, positions and the shapes of every record on the bus.
//! Never: does I/O, reads a clock, knows a driver.

pub mod behaviour;
pub mod change;
pub mod derived;
pub mod identity;
pub mod ids;
pub mod layer;
pub mod money;
pub mod position;
pub mod row;
pub mod signal;
pub mod topic;

pub use behaviour::BehaviourEvent;
pub use change::{Change, Op};
pub use identity::{Identity, IdentityKind, Tokeniser};
pub use layer::Layer;
pub use money::{Currency, Money};
pub use position::Position;

/// A moment in UTC, microsecond precision on the wire.
pub type Timestamp = jiff::Timestamp;
/// An exact decimal, for quantities and rates.
pub type Decimal = rust_decimal::Decimal;
