//! Every statement that the layer sends, from its own file, but those that read records: they are put together in `read/`. One test prepares them all.

/// Runs waves of commands in one transaction.
pub const RUN: &str = include_str!("../sql/run.sql");
/// The log position behind all commits so far.
pub const POSITION: &str = include_str!("../sql/position.sql");
/// Makes an API key.
pub const API_KEY_CREATE: &str = include_str!("../sql/api_key_create.sql");
/// All API keys.
pub const API_KEY_LIST: &str = include_str!("../sql/api_key_list.sql");
/// Revokes an API key.
pub const API_KEY_REVOKE: &str = include_str!("../sql/api_key_revoke.sql");
/// Who owns an API key.
pub const API_KEY_PRINCIPAL: &str = include_str!("../sql/api_key_principal.sql");
/// Makes a write key.
pub const WRITE_KEY_CREATE: &str = include_str!("../sql/write_key_create.sql");
/// All write keys.
pub const WRITE_KEY_LIST: &str = include_str!("../sql/write_key_list.sql");
/// Revokes a write key.
pub const WRITE_KEY_REVOKE: &str = include_str!("../sql/write_key_revoke.sql");
/// What the guardrails ask.
pub const GUARDRAIL_FACTS: &str = include_str!("../sql/guardrail_facts.sql");
/// Records a recommendation.
pub const RECORD_RECOMMENDATION: &str = include_str!("../sql/record_recommendation.sql");
/// Leases actions that are due.
pub const DUE_ACTIONS: &str = include_str!("../sql/due_actions.sql");
/// Records an attempt to deliver.
pub const RECORD_DELIVERY: &str = include_str!("../sql/record_delivery.sql");
/// Records what a person said to a recommendation.
pub const RECORD_APPROVAL: &str = include_str!("../sql/record_approval.sql");
/// Retracts the recommendations of an intent.
pub const RETRACT: &str = include_str!("../sql/retract.sql");
/// Writes outcomes.
pub const SETTLE_OUTCOMES: &str = include_str!("../sql/settle_outcomes.sql");
/// The actions whose outcome orders may be.
pub const ACTIONS_OF_ORDERS: &str = include_str!("../sql/actions_of_orders.sql");
/// Actions whose window is over.
pub const OUTCOMES_DUE: &str = include_str!("../sql/outcomes_due.sql");
/// A page of decisions.
pub const LIST_DECISIONS: &str = include_str!("../sql/list_decisions.sql");
/// One decision.
pub const GET_DECISION: &str = include_str!("../sql/get_decision.sql");
/// What members hold in points at a moment.
pub const POINTS_LIABILITY: &str = include_str!("../sql/points_liability.sql");
/// Books what fell due of points.
pub const SWEEP_POINTS: &str = include_str!("../sql/sweep_points.sql");

/// The partitions of all ledgers.
pub const PARTITIONS: &str = include_str!("../sql/partitions.sql");
/// Makes the partitions of the months to come.
pub const MAKE_PARTITIONS: &str = include_str!("../sql/make_partitions.sql");
/// Drops a ledger's old partitions.
pub const DROP_PARTITIONS: &str = include_str!("../sql/drop_partitions.sql");

/// What the server says of itself.
pub const STORE_STATUS: &str = include_str!("../sql/store_status.sql");
/// Size of the server's log.
pub const STORE_WAL_BYTES: &str = include_str!("../sql/store_wal_bytes.sql");
/// What vacuum has to do.
pub const STORE_VACUUM: &str = include_str!("../sql/store_vacuum.sql");
/// All partitions.
pub const STORE_PARTITIONS: &str = include_str!("../sql/store_partitions.sql");

/// The name of a statement; one that was put together to read has that of the table that it reads.
pub(crate) fn name(sql: &str) -> String {
    if let Some((name, _)) = ALL.iter().find(|(_, text)| *text == sql) {
        return (*name).to_owned();
    }
    let words: Vec<&str> = sql.split_ascii_whitespace().collect();
    let table = words.windows(3).find_map(|of| (of[0] == "from" && of[2] == "t").then_some(of[1]));
    format!("read {}", table.unwrap_or("rows").trim_start_matches("crm."))
}
/// Whom identities lead to.
pub const LOOKUP_MEMBER: &str = include_str!("../sql/lookup_member.sql");
/// All that is held about a member.
pub const EXPORT_MEMBER: &str = include_str!("../sql/export_member.sql");
/// A page of one section of that.
pub const EXPORT_SECTION: &str = include_str!("../sql/export_section.sql");
/// Places members anew whose tier has come to its end.
pub const SWEEP_TIERS: &str = include_str!("../sql/sweep_tiers.sql");

/// All of them, by name.
pub const ALL: [(&str, &str); 27] = [
pub const ALL: [(&str, &str); 22] = [
/// Ends reservations of stock that are over.
pub const SWEEP_STOCK: &str = include_str!("../sql/sweep_stock.sql");
/// What goods cost.
pub const QUOTE_PRICES: &str = include_str!("../sql/quote_prices.sql");

/// All of them, by name.
pub const ALL: [(&str, &str); 25] = [
    ("run", RUN),
    ("position", POSITION),
    ("api_key_create", API_KEY_CREATE),
    ("api_key_list", API_KEY_LIST),
    ("api_key_revoke", API_KEY_REVOKE),
    ("api_key_principal", API_KEY_PRINCIPAL),
    ("write_key_create", WRITE_KEY_CREATE),
    ("write_key_list", WRITE_KEY_LIST),
    ("write_key_revoke", WRITE_KEY_REVOKE),
    ("guardrail_facts", GUARDRAIL_FACTS),
    ("record_recommendation", RECORD_RECOMMENDATION),
    ("due_actions", DUE_ACTIONS),
    ("record_delivery", RECORD_DELIVERY),
    ("record_approval", RECORD_APPROVAL),
    ("retract", RETRACT),
    ("settle_outcomes", SETTLE_OUTCOMES),
    ("actions_of_orders", ACTIONS_OF_ORDERS),
    ("outcomes_due", OUTCOMES_DUE),
    ("list_decisions", LIST_DECISIONS),
    ("get_decision", GET_DECISION),
    ("partitions", PARTITIONS),
    ("make_partitions", MAKE_PARTITIONS),
    ("drop_partitions", DROP_PARTITIONS),
    ("store_status", STORE_STATUS),
    ("store_wal_bytes", STORE_WAL_BYTES),
    ("store_vacuum", STORE_VACUUM),
    ("store_partitions", STORE_PARTITIONS),
    ("lookup_member", LOOKUP_MEMBER),
    ("export_member", EXPORT_MEMBER),
    ("export_section", EXPORT_SECTION),
    ("sweep_tiers", SWEEP_TIERS),
    ("points_liability", POINTS_LIABILITY),
    ("sweep_points", SWEEP_POINTS),
    ("sweep_stock", SWEEP_STOCK),
    ("quote_prices", QUOTE_PRICES),
];
