//! Where the rows of a batch stand in the profile store: which documents of which person they write, and which look-up keys.
//! Pure; engines keep keys and values and know nothing of people.
//!
//! A document key is `d`, the person, the part, and what tells documents of a part from each other; an index key is `i`, what
//! is asked, and the row that says so. Orders of guests stand under `g` and their trace, which may come to be anybody's. Each row
//! also has an id, under which the engine keeps its version and the keys that it wrote, so that a row that moves to another person
//! takes its documents along.

use crate::Pairs;
use crate::batch::{Batch, KeyState, Version, key_bytes};
use crate::tables::{Order, TABLES, Table};
use crate::value::Value;
use bus::TopicPartition;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// What one row writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The row: its table, its key, and for streams the partition.
    pub id: Vec<u8>,
    /// The version; an older one than the row already has changes nothing.
    pub version: Version,
    /// Keys and values. What the row wrote before and is not here is removed.
    pub puts: Pairs,
    /// Whether the version must be kept when the row is gone, because an older change may still come.
    pub guarded: bool,
}

/// A batch, placed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// What rows write.
    pub entries: Vec<Entry>,
    /// Tables (first byte of the id) whose rows older than a version are gone.
    pub truncated: Vec<(u8, Version)>,
    /// Next offsets by partition.
    pub progress: BTreeMap<TopicPartition, i64>,
}

/// Tables that make profiles.
const PARTS: [&str; 12] = [
    "members",
    "member_identities",
    "consents",
    "points_accounts",
    "coupons",
    "orders",
    "recommendations",
    "identities",
    "member_features",
    "member_tags",
    "member_cohorts",
    "intents",
];

/// The topics that fill profiles.
pub fn topics() -> impl Iterator<Item = &'static str> {
    TABLES.iter().filter(|table| PARTS.contains(&table.name)).map(|table| table.topic)
}

/// Places a batch.
#[must_use]
pub fn place(batch: &Batch) -> Placement {
    let mut placement = Placement { progress: batch.progress().clone(), ..Placement::default() };
    for (number, changes) in batch.tables() {
        let Some(table) = TABLES.get(*number).filter(|table| PARTS.contains(&table.name)) else { continue };
        let Ok(number) = u8::try_from(*number) else { continue };
        placement.truncated.extend(changes.truncated.map(|at| (number, at)));
        placement.entries.extend(changes.keys.iter().map(|state| entry(number, table, state)));
    }
    placement
}

fn entry(number: u8, table: &Table, state: &KeyState) -> Entry {
    let mut id = vec![number];
    id.extend(key_bytes(&state.key));
    if table.order == Order::Stream {
        id.extend(state.version.0.to_be_bytes());
    }
    let puts = if state.rows.is_empty() { Vec::new() } else { writes(&Rows { table, rows: &state.rows }) };
    Entry { id, version: state.version, puts, guarded: table.order == Order::Version }
}

/// The rows of one key, read by name of column.
struct Rows<'a> {
    table: &'a Table,
    rows: &'a [Vec<Value>],
}

impl Rows<'_> {
    fn json_of(&self, row: &[Value], name: &str) -> Json {
        let column = self.table.columns.iter().zip(row).find(|(column, _)| column.name == name);
        column.map_or(Json::Null, |(column, value)| value.to_json(column.kind))
    }

    fn json(&self, name: &str) -> Json {
        self.rows.first().map_or(Json::Null, |row| self.json_of(row, name))
    }

    fn text(&self, name: &str) -> Option<String> {
        match self.json(name) {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// Micros of a moment, so that later ones sort first.
    fn latest_first(&self, name: &str) -> String {
        let place = self.table.column(name);
        let micros = match place.and_then(|place| self.rows.first().and_then(|row| row.get(place))) {
            Some(Value::Timestamp(micros)) => *micros,
            _ => 0,
        };
        format!("{:016x}", u64::MAX - micros.wrapping_sub(i64::MIN).cast_unsigned())
    }

    fn picked(&self, names: &[&str]) -> Json {
        self.rows.first().map_or(Json::Null, |row| self.picked_of(row, names))
    }

    fn picked_of(&self, row: &[Value], names: &[&str]) -> Json {
        Json::Object(names.iter().map(|name| ((*name).to_owned(), self.json_of(row, name))).collect::<Map<_, _>>())
    }
}

fn writes(rows: &Rows<'_>) -> Pairs {
    let member = || rows.text("member_id").map(|id| format!("m:{id}"));
    let person = || rows.text("person");
    let mut puts = Vec::new();
    let mut put = |key: Vec<u8>, value: &Json| puts.push((key, value.to_string().into_bytes()));
    match rows.table.name {
        "members" => {
            let Some(person) = member() else { return puts };
            let (number, id) = (rows.text("member_no").unwrap_or_default(), rows.text("member_id").unwrap_or_default());
            put(document(&person, "member", &[]), &rows.picked(&MEMBER));
            // The number of a member that was merged into another leads there.
            let owner = rows.text("merged_into_member_id").map_or(person, |owner| format!("m:{owner}"));
            put(index("member_no", &number, &id), &Json::from(owner));
        }
        "member_identities" => {
            let (Some(person), Some(id)) = (member(), rows.text("identity_id")) else { return puts };
            let (kind, token) = (rows.text("kind").unwrap_or_default(), rows.text("token").unwrap_or_default());
            put(document(&person, "identity", &[&id]), &rows.picked(&["kind", "token", "strength", "created_at"]));
            if rows.text("strength").as_deref() == Some("strong") {
                put(index(&kind, &token, &id), &Json::from(person));
            }
        }
        "consents" => {
            let (Some(person), Some(id)) = (member(), rows.text("consent_id")) else { return puts };
            let picked = rows.picked(&["purpose", "channel", "status", "status_at", "expires_at", "source"]);
            put(document(&person, "consent", &[&id]), &picked);
        }
        "points_accounts" => {
            let (Some(person), Some(id)) = (member(), rows.text("account_id")) else { return puts };
            put(document(&person, "points", &[&id]), &rows.picked(&["kind", "balance", "updated_at"]));
        }
        "coupons" => {
            let (Some(person), Some(id)) = (member(), rows.text("coupon_id")) else { return puts };
            put(document(&person, "coupon", &[&rows.latest_first("issued_at"), &id]), &rows.picked(&COUPON));
        }
        "orders" => {
            let Some(place) = place_of_order(rows, member()) else { return puts };
            put(place, &rows.picked(&ORDER));
        }
        "recommendations" => {
            let (Some(person), Some(id)) = (person(), rows.text("recommendation_id")) else { return puts };
            let when = rows.latest_first("recommended_at");
            put(document(&person, "decision", &[&when, &id]), &rows.picked(&DECISION));
        }
        "identities" => {
            let (Some(person), Some(trace)) = (person(), rows.text("trace")) else { return puts };
            put(document(&person, "trace", &[&trace]), &rows.picked(&["trace", "since", "move_no"]));
            put(index("trace", &trace, ""), &Json::from(person));
        }
        "member_features" => {
            let Some(person) = person() else { return puts };
            put(document(&person, "features", &[]), &rows.picked(&["features", "as_of", "received_at"]));
        }
        "member_tags" | "member_cohorts" => {
            let Some(person) = person() else { return puts };
            let (part, name) = if rows.table.name == "member_tags" { ("tags", "tag") } else { ("cohorts", "cohort") };
            let all: Vec<Json> = rows.rows.iter().map(|row| rows.picked_of(row, &[name, "since"])).collect();
            put(document(&person, part, &[]), &json!({ part: all, "as_of": rows.json("as_of") }));
        }
        "intents" => {
            let (Some(person), Some(id)) = (person(), rows.text("intent_id")) else { return puts };
            let picked = rows.picked(&["intent_id", "intent", "status", "fired_at", "detail"]);
            put(document(&person, "intent", &[&rows.latest_first("fired_at"), &id]), &picked);
        }
        _ => {}
    }
    puts
}

/// As processing pins it: a guest's order belongs to its contact or device, and goes where they go.
fn place_of_order(rows: &Rows<'_>, member: Option<String>) -> Option<Vec<u8>> {
    let (id, when) = (rows.text("order_id")?, rows.latest_first("placed_at"));
    if let Some(person) = member {
        return Some(document(&person, "order", &[&when, &id]));
    }
    let contact = rows.text("contact").map(|contact| format!("c:{contact}"));
    let trace = contact.or_else(|| rows.text("anonymous_id").map(|device| format!("a:{device}")))?;
    Some(guest_order(&trace, &[&when, &id]))
}

const MEMBER: [&str; 14] = [
    "member_id",
    "member_no",
    "status",
    "tier_code",
    "tier_valid_to",
    "merged_into_member_id",
    "erased_at",
    "enrolled_at",
    "enrol_channel",
    "home_store_id",
    "locale",
    "timezone",
    "country_code",
    "attributes",
];
const ORDER: [&str; 11] = [
    "order_id",
    "source",
    "order_no",
    "channel",
    "store_id",
    "placed_at",
    "status",
    "units",
    "net_minor",
    "total_minor",
    "currency",
];
const COUPON: [&str; 8] =
    ["coupon_id", "definition_id", "code_hint", "status", "uses", "uses_max", "issued_at", "expires_at"];
const DECISION: [&str; 6] = ["recommendation_id", "intent_id", "playbook", "channel", "status", "recommended_at"];

/// Key of a document: person, part, and what tells it from others of the part.
#[must_use]
pub fn document(person: &str, part: &str, rest: &[&str]) -> Vec<u8> {
    let mut key = person_prefix(person);
    segment(&mut key, part);
    for item in rest {
        segment(&mut key, item);
    }
    key
}

/// What all documents of a person begin with.
#[must_use]
pub fn person_prefix(person: &str) -> Vec<u8> {
    let mut key = vec![b'd'];
    segment(&mut key, person);
    key
}

/// Key of an order that no member made, or what all of a trace begin with.
#[must_use]
pub fn guest_order(trace: &str, rest: &[&str]) -> Vec<u8> {
    let mut key = vec![b'g'];
    segment(&mut key, trace);
    for item in rest {
        segment(&mut key, item);
    }
    key
}

/// Key of a look-up entry: what is asked, and the row that answers.
#[must_use]
pub fn index(kind: &str, value: &str, row: &str) -> Vec<u8> {
    let mut key = index_prefix(kind, value);
    segment(&mut key, row);
    key
}

/// What all entries of a look-up begin with.
#[must_use]
pub fn index_prefix(kind: &str, value: &str) -> Vec<u8> {
    let mut key = vec![b'i'];
    segment(&mut key, kind);
    segment(&mut key, value);
    key
}

/// Adds a text and a zero byte; zero and one bytes inside are written as two, so that keys stay apart.
fn segment(key: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            0 => key.extend([1, 2]),
            1 => key.extend([1, 1]),
            other => key.push(other),
        }
    }
    key.push(0);
}

/// The first text behind the leading letter of a key, as [`document`] wrote it.
#[must_use]
pub fn person_of(key: &[u8]) -> Option<String> {
    let end = key.iter().position(|byte| *byte == 0)?;
    let mut text = Vec::with_capacity(end);
    let mut bytes = key.get(1..end)?.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            1 => text.push(if bytes.next() == Some(&2) { 0 } else { 1 }),
            other => text.push(*other),
        }
    }
    String::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_two_people_never_touch() {
        for person in ["m:1", "a:\0x", "a:\u{1}\u{2}", ""] {
            assert_eq!(person_of(&document(person, "tags", &[])).as_deref(), Some(person));
        }
        assert!(!document("a:12", "tags", &[]).starts_with(&person_prefix("a:1")));
        assert_ne!(index("email", "a\0b", ""), index("email", "a", "b"));
    }

    #[test]
    fn profiles_read_only_what_they_show() {
        let topics: Vec<&str> = topics().collect();
        assert_eq!(topics.len(), PARTS.len());
        assert!(!topics.contains(&"crm.order_line"));
    }
}
