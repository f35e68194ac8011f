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

/// The partitions of all ledgers.
pub const PARTITIONS: &str = include_str!("../sql/partitions.sql");
/// Makes the partitions of the months to come.
pub const MAKE_PARTITIONS: &str = include_str!("../sql/make_partitions.sql");
/// Drops a ledger's old partitions.
pub const DROP_PARTITIONS: &str = include_str!("../sql/drop_partitions.sql");

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
    ("sweep_stock", SWEEP_STOCK),
    ("quote_prices", QUOTE_PRICES),
];
