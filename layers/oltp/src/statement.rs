//! Every statement that the layer sends, from its own file. One test prepares them all.

/// Declares statements, each with the name of its file.
macro_rules! statements {
    ($($(#[$about:meta])+ $name:ident = $file:literal;)+) => {
        $($(#[$about])+ pub const $name: &str = include_str!(concat!("../sql/", $file, ".sql"));)+

        /// All of them, by name.
        pub const ALL: &[(&str, &str)] = &[$(($file, $name)),+];
    };
}

statements! {
    /// Runs waves of commands in one transaction.
    RUN = "run";
    /// The log position behind all commits so far.
    POSITION = "position";
    /// Makes an API key.
    API_KEY_CREATE = "api_key_create";
    /// All API keys.
    API_KEY_LIST = "api_key_list";
    /// Revokes an API key.
    API_KEY_REVOKE = "api_key_revoke";
    /// Gives an API key a new secret.
    API_KEY_ROTATE = "api_key_rotate";
    /// Who owns an API key.
    API_KEY_PRINCIPAL = "api_key_principal";
    /// Makes a write key.
    WRITE_KEY_CREATE = "write_key_create";
    /// All write keys.
    WRITE_KEY_LIST = "write_key_list";
    /// Revokes a write key.
    WRITE_KEY_REVOKE = "write_key_revoke";
    /// What the guardrails ask.
    GUARDRAIL_FACTS = "guardrail_facts";
    /// Records a recommendation.
    RECORD_RECOMMENDATION = "record_recommendation";
    /// Leases actions that are due.
    DUE_ACTIONS = "due_actions";
    /// Records an attempt to deliver.
    RECORD_DELIVERY = "record_delivery";
    /// Records what a person said to a recommendation.
    RECORD_APPROVAL = "record_approval";
    /// Retracts the recommendations of an intent.
    RETRACT = "retract";
    /// Writes outcomes.
    SETTLE_OUTCOMES = "settle_outcomes";
    /// The actions whose outcome orders may be.
    ACTIONS_OF_ORDERS = "actions_of_orders";
    /// Actions whose window is over.
    OUTCOMES_DUE = "outcomes_due";
    /// A page of decisions.
    LIST_DECISIONS = "list_decisions";
    /// One decision.
    GET_DECISION = "get_decision";
    /// What members hold in points at a moment.
    POINTS_LIABILITY = "points_liability";
    /// Books what fell due of points.
    SWEEP_POINTS = "sweep_points";
    /// The partitions of all ledgers.
    PARTITIONS = "partitions";
    /// Makes the partitions of the months to come.
    MAKE_PARTITIONS = "make_partitions";
    /// Drops a ledger's old partitions.
    DROP_PARTITIONS = "drop_partitions";
    /// What the server says of itself.
    STORE_STATUS = "store_status";
    /// Size of the server's log.
    STORE_WAL_BYTES = "store_wal_bytes";
    /// What vacuum has to do.
    STORE_VACUUM = "store_vacuum";
    /// All partitions.
    STORE_PARTITIONS = "store_partitions";
    /// Whom identities lead to.
    LOOKUP_MEMBER = "lookup_member";
    /// All that is held about a member.
    EXPORT_MEMBER = "export_member";
    /// Notes that it was asked for.
    AUDIT_EXPORT = "audit_export";
    /// A page of one section of that.
    EXPORT_SECTION = "export_section";
    /// Places members anew whose tier has come to its end.
    SWEEP_TIERS = "sweep_tiers";
    /// Ends coupons and reservations of codes that are over.
    SWEEP_COUPONS = "sweep_coupons";
    /// Ends reservations of stock that are over.
    SWEEP_STOCK = "sweep_stock";
    /// What goods cost.
    QUOTE_PRICES = "quote_prices";
    /// Keeps a delivery of a source.
    RECEIVE_DELIVERY = "receive_delivery";
    /// Leases deliveries that are due.
    LEASE_DELIVERIES = "lease_deliveries";
    /// Says what became of leased deliveries.
    SETTLE_DELIVERIES = "settle_deliveries";
    /// Gives leased deliveries back.
    RELEASE_DELIVERIES = "release_deliveries";
    /// A page of deliveries.
    LIST_DELIVERIES = "list_deliveries";
    /// One delivery.
    GET_DELIVERY = "get_delivery";
    /// Has a delivery run again.
    REPLAY_DELIVERY = "replay_delivery";
    /// Has many deliveries run again.
    REPLAY_DELIVERIES = "replay_deliveries";
    /// Takes away what has been done for long.
    FORGET_DELIVERIES = "forget_deliveries";
    /// How the inbox stands.
    INBOX_STANDING = "inbox_standing";
    /// Opens an import.
    OPEN_IMPORT = "open_import";
    /// Keeps lines of an import.
    ADD_IMPORT_CHUNK = "add_import_chunk";
    /// Has an import run.
    CLOSE_IMPORT = "close_import";
    /// Takes away an import that is not whole.
    DROP_IMPORT = "drop_import";
    /// Leases a chunk of an import.
    LEASE_IMPORT = "lease_import";
    /// Says what became of a chunk.
    SETTLE_CHUNK = "settle_chunk";
    /// Gives an import back.
    RELEASE_IMPORT = "release_import";
    /// Cancels an import.
    CANCEL_IMPORT = "cancel_import";
    /// Takes away old imports.
    FORGET_IMPORTS = "forget_imports";
    /// One import.
    GET_IMPORT = "get_import";
    /// A page of imports.
    LIST_IMPORTS = "list_imports";
    /// Failures of an import.
    IMPORT_FAILURES = "import_failures";
}

/// The name of a statement; one that was put together to read has that of the table that it reads.
pub(crate) fn name(sql: &str) -> String {
    if let Some((name, _)) = ALL.iter().find(|(_, text)| *text == sql) {
        return (*name).to_owned();
    }
    let words: Vec<&str> = sql.split_ascii_whitespace().collect();
    let table = words.windows(3).find_map(|of| (of[0] == "from" && of[2] == "t").then_some(of[1]));
    format!("read {}", table.unwrap_or("rows").trim_start_matches("crm."))
}
