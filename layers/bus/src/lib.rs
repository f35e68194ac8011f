//! Bus.
//!
//! Takes: records, from every layer. Gives: replay, fan-out, groups, and the atomic step (offsets, state and output in one
//! commit). Never: loses an acknowledged record; reorders a partition.
//!
//! The data model is Kafka's: topic, partition, 64-bit offset, key, headers, timestamp, murmur2 partitioner.

mod bus;
pub mod coordinator;
mod error;
mod group;
pub mod limits;
mod memory;
mod partitioner;
mod record;
mod step;
pub mod suite;

pub use bus::{Bus, TopicSpec, Watermarks};
pub use error::BusError;
pub use group::Group;
pub use memory::MemoryBus;
pub use partitioner::{murmur2, partition_of};
pub use record::{Header, NewRecord, Placed, Record, TopicPartition};
pub use step::{StateChange, Step};
