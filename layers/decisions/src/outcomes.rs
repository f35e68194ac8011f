//! From captured orders and returns to outcomes. A record only says which order to look at; the store says what the outcome is, so
//! the order in which records arrive does not matter, and cancelled, moved, late and returned orders correct what was written.

use crate::reader::Reader;
use crate::run::Shared;
use crate::{DecisionsError, metrics};
use bus::Record;
use model::Change;
use model::ids::OrderId;
use model::topic;
use uuid::Uuid;

const GROUP: &str = "decisions.outcomes";

pub(crate) async fn run(shared: &Shared) -> Result<(), DecisionsError> {
    let topics = [topic::crm("sales_order"), topic::crm("sales_return")];
    let mut reader = Reader::join(shared.bus.clone(), GROUP, &topics).await?;
    while !shared.stop.is_cancelled() {
        let lists = reader.batch(shared.config.poll()).await?;
        if lists.is_empty() {
            continue;
        }
        let orders: Vec<OrderId> = lists.iter().flatten().filter_map(|record| order_of(shared, record)).collect();
        let actions = shared.oltp.actions_of_orders(&orders).await?;
        if !actions.is_empty() {
            let changed = shared.oltp.settle_outcomes(&actions, shared.clock.now()).await?;
            shared.meter.count(metrics::OUTCOME, changed);
        }
        reader.commit(&lists).await?;
    }
    Ok(())
}

/// The order that a record is about: an order itself, or what came back of one.
fn order_of(shared: &Shared, record: &Record) -> Option<OrderId> {
    let change: Change = match serde_json::from_slice(record.value.as_ref()?) {
        Ok(change) => change,
        Err(error) => {
            let place = format!("{} at {}: a change is not readable: {error}", record.at, record.offset);
            shared.meter.failed(metrics::PASSED_OVER, &place);
            return None;
        }
    };
    let row = change.after.or(change.before)?;
    Uuid::parse_str(row.get("order_id")?.as_str()?).ok().map(OrderId)
}
