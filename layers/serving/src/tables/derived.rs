//! What processing derives.

use super::table;
use model::topic;

table! { EVENTS: "events" of topic::SIGNALS, Append by 2 {
    source: Text, message_id: Text, name: Text, type: Text, person: Text, trace: Text, anonymous_id: Text,
    user_id: Text, occurred_at: Timestamp, received_at: Timestamp, product_code: Text, sku_code: Text,
    category: Text, brand: Text, properties: Json, context: Json, enrichment: Json, consent: Json,
    contract_version: Int
} }

table! { SESSIONS: "sessions" of topic::SESSIONS, Stream by 1 {
    session_id: Uuid, trace: Text, person: Text, started_at: Timestamp, ended_at: Timestamp, events: Int,
    product_views: Int
} }

table! { IDENTITIES: "identities" of topic::IDENTITY, Stream by 1 {
    trace: Text, person: Text, move_no: Int, since: Timestamp
} }

table! { MEMBER_FEATURES: "member_features" of topic::FEATURES, Stream by 1 {
    person: Text, as_of: Timestamp, received_at: Timestamp, features: Json
} }

table! { MEMBER_TAGS: "member_tags" of topic::TAGS, Stream by 1 {
    person: Text, tag: Text, since: Timestamp, as_of: Timestamp
} }

table! { MEMBER_COHORTS: "member_cohorts" of topic::COHORTS, Stream by 1 {
    person: Text, cohort: Text, since: Timestamp, as_of: Timestamp
} }

table! { INTENTS: "intents" of topic::INTENTS, Stream by 1 {
    intent_id: Uuid, intent: Text, person: Text, status: Text, fired_at: Timestamp, detail: Json
} }
