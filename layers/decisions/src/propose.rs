//! From intents to recommendations. Offsets move only after every recommendation of the batch is durable; what is read again
//! after a crash is recognised by intent and playbook.

use crate::reader::Reader;
use crate::recommend::{contacts_since, is_stale, recommend};
use crate::run::Shared;
use crate::{DecisionsError, guardrails, metrics};
use bus::Record;
use contract::playbooks::Playbook;
use futures_util::future::try_join_all;
use model::derived::{Intent, IntentStatus};
use model::topic;

const GROUP: &str = "decisions.intents";

pub(crate) async fn run(shared: &Shared) -> Result<(), DecisionsError> {
    let mut reader = Reader::join(shared.bus.clone(), GROUP, &[topic::INTENTS.to_owned()]).await?;
    let remark =
        if shared.config.webhook_url.is_none() { "; actions wait: decisions.webhook_url is not set" } else { "" };
    while !shared.stop.is_cancelled() {
        let lists = reader.batch(shared.config.poll()).await?;
        if !lists.is_empty() {
            // The partitions side by side; within one, an intent and its retraction keep their order.
            try_join_all(lists.iter().map(|records| all(shared, records))).await?;
            reader.commit(&lists).await?;
            shared.due.notify_one();
        }
        shared.meter.lag(reader.lag().await?);
        shared.meter.position(format!("intents {}{remark}", reader.position()));
    }
    Ok(())
}

async fn all(shared: &Shared, records: &[Record]) -> Result<(), DecisionsError> {
    for record in records {
        // No value: the intent is gone from the topic's compacted view, which retracts nothing.
        let Some(value) = &record.value else { continue };
        match serde_json::from_slice::<Intent>(value) {
            Ok(intent) => match one(shared, &intent).await {
                // It would never pass, and all intents behind it would wait for ever. It stays on the bus.
                Err(DecisionsError::Store(error)) if !error.retry() => pass_over(shared, record, &error.to_string()),
                outcome => outcome?,
            },
            Err(error) => pass_over(shared, record, &format!("an intent is not readable: {error}")),
        }
    }
    Ok(())
}

fn pass_over(shared: &Shared, record: &Record, why: &str) {
    let (partition, offset) = (&record.at, record.offset);
    tracing::error!(target: "decisions", %partition, offset, why, "an intent was passed over");
    shared.meter.failed(metrics::PASSED_OVER, &format!("{partition} at {offset}: {why}"));
}

async fn one(shared: &Shared, intent: &Intent) -> Result<(), DecisionsError> {
    match intent.status {
        IntentStatus::Fired => {
            for playbook in shared.playbooks.answering(&intent.intent) {
                propose(shared, playbook, intent).await?;
            }
        }
        IntentStatus::Retracted => {
            let retracted = shared.oltp.retract_recommendations(intent.intent_id, shared.clock.now()).await?;
            shared.meter.count(metrics::RETRACTED, retracted);
        }
    }
    Ok(())
}

async fn propose(shared: &Shared, playbook: &Playbook, intent: &Intent) -> Result<(), DecisionsError> {
    let now = shared.clock.now();
    if is_stale(playbook, intent, now) {
        shared.meter.count(metrics::STALE, 1);
        return Ok(());
    }
    let facts = match intent.person.as_member() {
        Some(member) => {
            let since = contacts_since(playbook, now);
            shared.oltp.guardrail_facts(member, &playbook.purpose, &playbook.channel, since).await?
        }
        None => guardrails::no_facts(),
    };
    let recorded = shared.oltp.record_recommendation(&recommend(playbook, intent, &facts, now)).await?;
    if recorded.repeated {
        shared.meter.count(metrics::REPEATED, 1);
    } else if recorded.status == "blocked" {
        shared.meter.handled(metrics::BLOCKED, 1);
    } else {
        shared.meter.handled(metrics::RECOMMENDED, 1);
    }
    Ok(())
}
