//! Stock: receipts, adjustments, counts, shrinkage, transfers, reservations, and levels as other systems tell them.
//!
//! Promises (reservations, transfers) are refused where the books do not cover them, unless the store allows it. Facts are recorded.

use super::{Asked, Written, write};
use crate::check::{
    CODE_MAX, Checked, TEXT_MAX, WORD_MAX, below, count, optional, past, positive, quantity, source, text,
};
use crate::error::OltpError;
use model::{Decimal, Timestamp, Tokeniser};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashSet;
use utoipa::ToSchema;
use uuid::Uuid;

/// Types of movements.
pub(crate) const MOVEMENT_TYPES: &[&str] =
    &["receipt", "sale", "return", "transfer_out", "transfer_in", "adjustment", "shrink", "count"];
/// Statuses of reservations.
pub(crate) const RESERVATION_STATUSES: &[&str] = &["active", "captured", "released", "expired"];
/// Statuses of transfers.
pub(crate) const TRANSFER_STATUSES: &[&str] = &["shipped", "partially_received", "received"];

const LINES_MAX: usize = 1000;
/// Thirty days.
const TTL_S_MAX: u32 = 2_592_000;
const TTL_S: u32 = 900;

/// A SKU and a quantity of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StockLineValue {
    /// Code of the SKU, which must exist; at most once in a command.
    #[schema(example = "1039126")]
    pub sku_code: String,
    /// Units, with at most four decimals.
    #[schema(value_type = String, example = "12")]
    pub quantity: Decimal,
}

/// Goods that came into a store from outside.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StockReceive {
    /// Code of the store, which must exist.
    pub store_code: String,
    /// What came: 1 to 1,000 SKUs.
    pub lines: Vec<StockLineValue>,
    /// Number of the document behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// When; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub moved_at: Option<Timestamp>,
}

/// A correction of the books. They cannot come below nothing, unless the store allows it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StockAdjust {
    /// Code of the store, which must exist.
    pub store_code: String,
    /// What to add, or to take away (below zero): 1 to 1,000 SKUs.
    pub lines: Vec<StockLineValue>,
    /// Why.
    pub reason: String,
    /// Number of the document behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// When; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub moved_at: Option<Timestamp>,
}

/// A count: what is there becomes what was counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StockCount {
    /// Code of the store, which must exist.
    pub store_code: String,
    /// What was counted: 1 to 1,000 SKUs.
    pub lines: Vec<StockLineValue>,
    /// Number of the document behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// When; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub moved_at: Option<Timestamp>,
}

/// Goods that are lost, stolen, broken or spoilt. There cannot be more of them than there were, unless the store allows it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StockShrink {
    /// Code of the store, which must exist.
    pub store_code: String,
    /// What is gone: 1 to 1,000 SKUs.
    pub lines: Vec<StockLineValue>,
    /// Why.
    #[schema(example = "damaged")]
    pub reason: String,
    /// Number of the document behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// When; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub moved_at: Option<Timestamp>,
}

/// Goods that leave a store for another one. They are on their way until they are received.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StockTransfer {
    /// Your number of the transfer; identifies it.
    #[schema(example = "T-1001")]
    pub transfer_no: String,
    /// Code of the store that sends them.
    pub from_store_code: String,
    /// Code of the store that they go to.
    pub to_store_code: String,
    /// What leaves: 1 to 1,000 SKUs; no more than is available, unless the store that sends allows it.
    pub lines: Vec<StockLineValue>,
    /// When; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub moved_at: Option<Timestamp>,
}

/// Goods of a transfer that arrived.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StockTransferReceive {
    /// Number of the transfer.
    #[schema(example = "T-1001")]
    pub transfer_no: String,
    /// What arrived; all that is still on its way when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<Vec<StockLineValue>>,
    /// Whether nothing more will come: what is still on its way is lost.
    #[serde(default)]
    pub close: bool,
    /// When; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub moved_at: Option<Timestamp>,
}

/// A promise of stock, all lines or none. It ends by itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StockReserve {
    /// Code of the store, which must exist.
    pub store_code: String,
    /// What to promise: 1 to 1,000 SKUs. Of a bundle its components are promised.
    pub lines: Vec<StockLineValue>,
    /// For how many seconds: 1 to 2,592,000; 900 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u32>,
    /// Source of the order that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_source: Option<String>,
    /// Number of the order that it is for, which need not exist yet. Once that counts as bought it captures the reservation; once it is
    /// cancelled, it releases it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_no: Option<String>,
}

/// The goods of a reservation went out.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StockCapture {
    /// Id of the reservation.
    pub reservation_id: Uuid,
}

/// A promise is taken back.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StockRelease {
    /// Id of the reservation.
    pub reservation_id: Uuid,
}

/// What another system says there is. The difference to our books becomes a movement.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutInventoryLevel {
    /// Code of the store, which must exist.
    pub store_code: String,
    /// Code of the SKU, which must exist and be no bundle.
    pub sku_code: String,
    /// Units in the store. Give this or `available`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "12")]
    pub on_hand: Option<Decimal>,
    /// Units that can be promised. Give this or `on_hand`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub available: Option<Decimal>,
    /// Version in your system. An equal or older one than the stored one changes nothing. This or `source_updated_at` is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_version: Option<i64>,
    /// When your system changed it; used where there is no version. An equal or older time than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
}

/// A movement of stock, as the SQL function takes it.
#[derive(Serialize)]
struct MoveBody<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    store_code: &'a str,
    lines: &'a [StockLineValue],
    reason: Option<&'a str>,
    reference: Option<&'a str>,
    moved_at: Option<Timestamp>,
}

impl MoveBody<'_> {
    fn check(&self, each: fn(&str, Decimal) -> Checked, now: Timestamp) -> Checked {
        text("/store_code", self.store_code, CODE_MAX)?;
        lines(self.lines, 1, each)?;
        self.reason.map_or(Ok(()), |reason| text("/reason", reason, TEXT_MAX))?;
        optional("/reference", self.reference, WORD_MAX)?;
        past("/moved_at", self.moved_at, now)
    }
}

fn lines(lines: &[StockLineValue], least: usize, each: fn(&str, Decimal) -> Checked) -> Checked {
    count("/lines", lines.len(), least, LINES_MAX)?;
    let mut seen = HashSet::with_capacity(lines.len());
    for (i, line) in lines.iter().enumerate() {
        text("/sku_code", &line.sku_code, CODE_MAX).map_err(|error| below(error, "lines", i))?;
        each("/quantity", line.quantity).map_err(|error| below(error, "lines", i))?;
        if !seen.insert(&line.sku_code) {
            let pointer = format!("/lines/{i}/sku_code");
            return Err(OltpError::invalid("oltp.duplicate_line", pointer, "this SKU comes twice"));
        }
    }
    Ok(())
}

/// A difference: more or less, not nothing.
fn difference(pointer: &str, value: Decimal) -> Checked {
    positive(pointer, value.abs())
}

/// Commands of one store, in the order in which they lock: they may touch the same levels.
fn of_store(store: &str, lines: &[StockLineValue]) -> String {
    let mut key = store.to_owned();
    for line in lines {
        key.push('\0');
        key.push_str(&line.sku_code);
    }
    key
}

/// Declares the commands that move stock in one store.
macro_rules! moves {
    ($($body:ident $noun:literal $path:literal $about:literal $kind:literal $each:ident [$($reason:ident)?] $example:tt)+) => {
        $(impl $body {
            fn body(&self) -> MoveBody<'_> {
                MoveBody {
                    kind: $kind,
                    store_code: &self.store_code,
                    lines: &self.lines,
                    reason: moves!(@reason self $($reason)?),
                    reference: self.reference.as_deref(),
                    moved_at: self.moved_at,
                }
            }
        }

        impl Asked for $body {
            const NOUN: &'static str = $noun;
            const PATH: &'static str = $path;
            const ABOUT: &'static str = $about;
            const ACTION: bool = true;

            fn example() -> Value {
                json!($example)
            }

            fn check(&self, now: Timestamp) -> Checked {
                self.body().check($each, now)
            }

            fn unique(&self) -> String {
                of_store(&self.store_code, &self.lines)
            }

            fn lines(&self) -> usize {
                self.lines.len()
            }

            fn function(&self) -> &'static str {
                "stock_move"
            }

            fn write(&self, _: &Tokeniser, _: Timestamp) -> Written {
                write(&self.body())
            }
        })+
    };
    (@reason $self:ident) => { None };
    (@reason $self:ident $reason:ident) => { Some(&*$self.$reason) };
}

moves! {
    StockReceive "stock_receive" "inventory/receive" "Receive goods" "receipt" positive []
        {"store_code": "367", "reference": "PO-77", "lines": [{"sku_code": "1039126", "quantity": "12"}]}
    StockAdjust "stock_adjust" "inventory/adjust" "Correct the books" "adjustment" difference [reason]
        {"store_code": "367", "reason": "found behind a shelf", "lines": [{"sku_code": "1039126", "quantity": "-1"}]}
    StockCount "stock_count" "inventory/count" "Set stock to what was counted" "count" quantity []
        {"store_code": "367", "lines": [{"sku_code": "1039126", "quantity": "11"}]}
    StockShrink "stock_shrink" "inventory/shrink" "Write goods off" "shrink" positive [reason]
        {"store_code": "367", "reason": "damaged", "lines": [{"sku_code": "1039126", "quantity": "1"}]}
}

impl Asked for StockTransfer {
    const NOUN: &'static str = "stock_transfer";
    const PATH: &'static str = "inventory/transfer";
    const ABOUT: &'static str = "Send goods to another store";
    const ACTION: bool = true;

    fn example() -> Value {
        json!({"transfer_no": "T-1001", "from_store_code": "367", "to_store_code": "368",
            "lines": [{"sku_code": "1039126", "quantity": "6"}]})
    }

    fn check(&self, now: Timestamp) -> Checked {
        text("/transfer_no", &self.transfer_no, CODE_MAX)?;
        text("/from_store_code", &self.from_store_code, CODE_MAX)?;
        text("/to_store_code", &self.to_store_code, CODE_MAX)?;
        if self.from_store_code == self.to_store_code {
            let detail = "goods go from one store to another";
            return Err(OltpError::invalid("oltp.invalid_value", "/to_store_code", detail));
        }
        lines(&self.lines, 1, positive)?;
        past("/moved_at", self.moved_at, now)
    }

    fn unique(&self) -> String {
        self.transfer_no.clone()
    }

    fn lines(&self) -> usize {
        self.lines.len()
    }
}

impl Asked for StockTransferReceive {
    const NOUN: &'static str = "stock_transfer_receive";
    const PATH: &'static str = "inventory/transfer/receive";
    const ABOUT: &'static str = "Receive goods of a transfer";
    const ACTION: bool = true;

    fn example() -> Value {
        json!({"transfer_no": "T-1001", "lines": [{"sku_code": "1039126", "quantity": "5"}], "close": true})
    }

    fn check(&self, now: Timestamp) -> Checked {
        text("/transfer_no", &self.transfer_no, CODE_MAX)?;
        // An empty list closes a transfer of which nothing more arrived.
        self.lines.as_deref().map_or(Ok(()), |some| lines(some, usize::from(!self.close), positive))?;
        past("/moved_at", self.moved_at, now)
    }

    fn unique(&self) -> String {
        self.transfer_no.clone()
    }

    fn lines(&self) -> usize {
        self.lines.as_ref().map_or(0, Vec::len)
    }
}

impl Asked for StockReserve {
    const NOUN: &'static str = "stock_reserve";
    const PATH: &'static str = "inventory/reserve";
    const ABOUT: &'static str = "Promise stock for a time";
    const ACTION: bool = true;

    fn example() -> Value {
        json!({"store_code": "367", "ttl_s": 900, "order_source": "shop", "order_no": "1001",
            "lines": [{"sku_code": "1039126", "quantity": "1"}]})
    }

    fn check(&self, _: Timestamp) -> Checked {
        text("/store_code", &self.store_code, CODE_MAX)?;
        lines(&self.lines, 1, positive)?;
        if self.ttl_s.is_some_and(|ttl| !(1..=TTL_S_MAX).contains(&ttl)) {
            return Err(OltpError::invalid(
                "oltp.out_of_range",
                "/ttl_s",
                format!("between 1 and {TTL_S_MAX} seconds"),
            ));
        }
        match (&self.order_source, &self.order_no) {
            (Some(from), Some(number)) => {
                source("/order_source", from)?;
                text("/order_no", number, CODE_MAX)
            }
            (None, None) => Ok(()),
            _ => Err(OltpError::invalid("oltp.missing", "/order_no", "an order has a source and a number")),
        }
    }

    fn unique(&self) -> String {
        of_store(&self.store_code, &self.lines)
    }

    fn lines(&self) -> usize {
        self.lines.len()
    }

    fn write(&self, _: &Tokeniser, _: Timestamp) -> Written {
        write(&Self { ttl_s: self.ttl_s.or(Some(TTL_S)), ..self.clone() })
    }
}

impl Asked for StockCapture {
    const NOUN: &'static str = "stock_capture";
    const PATH: &'static str = "inventory/capture";
    const ABOUT: &'static str = "Take the goods of a reservation out of stock";
    const ACTION: bool = true;

    fn example() -> Value {
        json!({"reservation_id": "01890a5d-ac96-774b-bcce-b302099a8057"})
    }

    fn check(&self, _: Timestamp) -> Checked {
        Ok(())
    }

    fn unique(&self) -> String {
        self.reservation_id.to_string()
    }
}

impl Asked for StockRelease {
    const NOUN: &'static str = "stock_release";
    const PATH: &'static str = "inventory/release";
    const ABOUT: &'static str = "End a reservation";
    const ACTION: bool = true;

    fn example() -> Value {
        json!({"reservation_id": "01890a5d-ac96-774b-bcce-b302099a8057"})
    }

    fn check(&self, _: Timestamp) -> Checked {
        Ok(())
    }

    fn unique(&self) -> String {
        self.reservation_id.to_string()
    }
}

impl Asked for PutInventoryLevel {
    const NOUN: &'static str = "inventory_level";
    const PATH: &'static str = "inventory";
    const ABOUT: &'static str = "Take over what another system says there is";

    fn example() -> Value {
        json!({"store_code": "367", "sku_code": "1039126", "on_hand": "12", "source_version": 7})
    }

    fn check(&self, now: Timestamp) -> Checked {
        text("/store_code", &self.store_code, CODE_MAX)?;
        text("/sku_code", &self.sku_code, CODE_MAX)?;
        let ((Some(units), None) | (None, Some(units))) = (self.on_hand, self.available) else {
            return Err(OltpError::invalid("oltp.missing", "/on_hand", "give either on_hand or available"));
        };
        // Other books may be below nothing, too.
        quantity("/on_hand", units.abs())?;
        if self.source_version.is_none() && self.source_updated_at.is_none() {
            let detail = "give a version or a time: without one, a repeat could undo what happened since";
            return Err(OltpError::invalid("oltp.missing", "/source_version", detail));
        }
        past("/source_updated_at", self.source_updated_at, now)
    }

    fn unique(&self) -> String {
        format!("{}\0{}", self.store_code, self.sku_code)
    }
}
