//! Uses of coupons: validated against a cart, reserved for a checkout, redeemed, let go, taken back.

use super::identity::IdentityValue;
use super::order::LINES_MAX;
use super::{Asked, Written, write};
use crate::check::{
    AMOUNT_MAX, CODE_MAX, Checked, amount, below, count, currency, number, one_of, optional, quantity, source, text,
};
use crate::coupon_code;
use crate::error::OltpError;
use crate::order;
use model::{Decimal, IdentityKind, Timestamp, Tokeniser};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashSet;
use utoipa::ToSchema;
use uuid::Uuid;

/// Statuses of uses.
pub(crate) const REDEMPTION_STATUSES: &[&str] = &["reserved", "redeemed", "released", "rolled_back"];
/// Most codes of a cart or an order.
pub(crate) const CODES_MAX: usize = 20;
/// Longest and usual time of a reservation, in seconds.
const RESERVATION_MAX_S: i32 = 86_400;
const RESERVATION_S: i32 = 900;

/// A line of a cart.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CartLineValue {
    /// Number of the line within the cart, from 1.
    pub line_no: i32,
    /// Code of the SKU, which must exist.
    pub sku_code: String,
    /// Quantity, a decimal text with up to four decimals; not negative.
    #[schema(value_type = String, example = "2")]
    pub quantity: Decimal,
    /// Price of one unit in minor units.
    pub unit_price_minor: i64,
    /// Discounts on the line other than coupons, in minor units, not negative.
    #[serde(default)]
    pub discount_minor: i64,
}

/// A cart, before coupons.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CartValue {
    /// Your number of the member who buys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_no: Option<String>,
    /// An identity of the buyer; names the member if one holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buyer: Option<IdentityValue>,
    /// Code of the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_code: Option<String>,
    /// pos, ecom or marketplace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// ISO 4217 code of all amounts.
    #[schema(example = "USD")]
    pub currency: String,
    /// Shipping in minor units.
    #[serde(default)]
    pub shipping_minor: i64,
    /// Lines: 1 to 1,000.
    pub lines: Vec<CartLineValue>,
}

/// The order that a code is used for, which need not be there yet.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CouponOrderValue {
    /// System that the number comes from.
    #[schema(example = "web")]
    pub source: String,
    /// Number of the order.
    pub order_no: String,
}

/// A code that is used.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RedemptionValue {
    /// The code.
    #[schema(example = "SPRING10")]
    pub code: String,
    /// What it gave, in minor units: at most what its definition allows. What the definition gives when absent; for an order, within the
    /// discounts of its lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount_minor: Option<i64>,
    /// The reservation that holds it, where it was made for another order number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation_id: Option<Uuid>,
}

/// Codes that are tried against a cart: what each would give, or why it does not. Nothing is written.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ValidateCoupons {
    /// Codes: 1 to 20.
    pub codes: Vec<String>,
    /// The cart.
    pub cart: CartValue,
    /// The order that the cart will be: what is reserved for it does not count against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<CouponOrderValue>,
}

/// Codes that are held for a checkout. For the same order again, or with the reservation, they are held longer.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReserveCoupons {
    /// Codes: 1 to 20. All are held, or none.
    pub codes: Vec<String>,
    /// The cart.
    pub cart: CartValue,
    /// The order that the cart will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<CouponOrderValue>,
    /// An earlier reservation of these codes, which this one replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation_id: Option<Uuid>,
    /// How long, in seconds: 1 to 86,400; 900 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<i32>,
}

/// Codes that are used for good. With an order that is sent as well, use its `redemptions` instead: both are then taken, or none.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RedeemCoupons {
    /// Codes: 1 to 20. All are used, or none.
    pub codes: Vec<RedemptionValue>,
    /// The order.
    pub order: CouponOrderValue,
    /// The cart; the order's own lines when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cart: Option<CartValue>,
}

/// A reservation that is let go before its time.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseCoupons {
    /// The reservation.
    pub reservation_id: Uuid,
}

/// Redemptions that are taken back: one, or all of an order.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackCoupons {
    /// The redemption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redemption_id: Option<Uuid>,
    /// The order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<CouponOrderValue>,
}

/// What the SQL functions take for a use.
#[derive(Default, Serialize)]
struct UseBody<'a> {
    codes: Vec<CodeBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_no: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<i32>,
    #[serde(flatten)]
    cart: Option<CartBody<'a>>,
}

/// A code as the SQL functions take it; it is told again only where nothing of the answer is kept.
#[derive(Serialize)]
pub(super) struct CodeBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    discount_minor: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reservation_id: Option<Uuid>,
}

#[derive(Serialize)]
struct CartBody<'a> {
    member_no: Option<&'a str>,
    buyer_kind: Option<IdentityKind>,
    buyer_token: Option<String>,
    store_code: Option<&'a str>,
    channel: Option<&'a str>,
    currency: &'a str,
    shipping: i64,
    lines: Vec<LineBody<'a>>,
}

#[derive(Serialize)]
struct LineBody<'a> {
    n: i32,
    sku: &'a str,
    q: Decimal,
    amount: i64,
}

impl CartValue {
    fn check(&self) -> Checked {
        optional("/member_no", self.member_no.as_deref(), CODE_MAX)?;
        optional("/store_code", self.store_code.as_deref(), CODE_MAX)?;
        one_of("/channel", self.channel.as_deref(), super::coupon_definition::CHANNELS)?;
        currency(&self.currency)?;
        amount("/shipping_minor", self.shipping_minor, 0)?;
        count("/lines", self.lines.len(), 1, LINES_MAX)?;
        let mut seen = HashSet::with_capacity(self.lines.len());
        for (i, line) in self.lines.iter().enumerate() {
            line.check().map_err(|error| below(error, "lines", i))?;
            if !seen.insert(line.line_no) {
                let detail = format!("line number {} comes twice", line.line_no);
                return Err(OltpError::invalid("oltp.duplicate_line", format!("/lines/{i}/line_no"), detail));
            }
        }
        Ok(())
    }

    fn write(&self, tokens: &Tokeniser) -> Result<CartBody<'_>, OltpError> {
        let buyer = self.buyer.as_ref().map(|buyer| tokens.identify(buyer.kind, &buyer.value)).transpose();
        let buyer = buyer
            .map_err(|error| OltpError::invalid("oltp.invalid_identity", "/cart/buyer/value", error.to_string()))?;
        let (buyer_kind, buyer_token) = buyer.map(|buyer| (buyer.kind, buyer.token)).unzip();
        let lines = self.lines.iter().map(|line| LineBody {
            n: line.line_no,
            sku: &line.sku_code,
            q: line.quantity,
            amount: line.amount().unwrap_or(0),
        });
        Ok(CartBody {
            member_no: self.member_no.as_deref(),
            buyer_kind,
            buyer_token,
            store_code: self.store_code.as_deref(),
            channel: self.channel.as_deref(),
            currency: &self.currency,
            shipping: self.shipping_minor,
            lines: lines.collect(),
        })
    }
}

impl CartLineValue {
    /// What the line costs before coupons; none where a discount is more than it or it is out of range.
    fn amount(&self) -> Option<i64> {
        let gross = order::extended(self.quantity, self.unit_price_minor)?;
        (0..=AMOUNT_MAX).contains(&(gross - self.discount_minor)).then_some(gross - self.discount_minor)
    }

    fn check(&self) -> Checked {
        number("/line_no", self.line_no, 10_000)?;
        text("/sku_code", &self.sku_code, CODE_MAX)?;
        quantity("/quantity", self.quantity)?;
        amount("/unit_price_minor", self.unit_price_minor, 0)?;
        amount("/discount_minor", self.discount_minor, 0)?;
        if self.amount().is_none() {
            let detail = format!("quantity × unit price less the discount is between 0 and {AMOUNT_MAX} minor units");
            return Err(OltpError::invalid("oltp.out_of_range", "/unit_price_minor", detail));
        }
        Ok(())
    }
}

impl CouponOrderValue {
    fn check(&self) -> Checked {
        source("/order/source", &self.source)?;
        text("/order/order_no", &self.order_no, CODE_MAX)
    }

    fn unique(&self) -> String {
        format!("{}\0{}", self.source, self.order_no)
    }
}

/// Checks codes that are used, in the list of that name.
pub(super) fn check_uses(list: &str, uses: &[RedemptionValue], min: usize) -> Checked {
    count(&format!("/{list}"), uses.len(), min, CODES_MAX)?;
    for (i, value) in uses.iter().enumerate() {
        coupon_code::check("/code", &value.code)
            .and_then(|()| value.discount_minor.map_or(Ok(()), |minor| amount("/discount_minor", minor, 0)))
            .map_err(|error| below(error, list, i))?;
    }
    Ok(())
}

/// Codes that are used, as the SQL functions take them.
pub(super) fn write_uses(uses: &[RedemptionValue]) -> Vec<CodeBody<'_>> {
    let body = |value: &RedemptionValue| CodeBody {
        code: None,
        key: coupon_code::key(&value.code),
        discount_minor: value.discount_minor,
        reservation_id: value.reservation_id,
    };
    uses.iter().map(body).collect()
}

fn check_codes(codes: &[String]) -> Checked {
    count("/codes", codes.len(), 1, CODES_MAX)?;
    codes.iter().enumerate().try_for_each(|(i, code)| coupon_code::check(&format!("/codes/{i}"), code))
}

fn check_cart(cart: &CartValue) -> Checked {
    cart.check().map_err(|error| match error {
        OltpError::Invalid { code, pointer, detail } => {
            OltpError::Invalid { code, pointer: format!("/cart{pointer}"), detail }
        }
        other => other,
    })
}

fn order_names(order: Option<&CouponOrderValue>) -> (Option<&str>, Option<&str>) {
    order.map(|order| (order.source.as_str(), order.order_no.as_str())).unzip()
}

/// The cart of the examples; its SKU and member are those of the other examples.
fn example_cart() -> Value {
    json!({"member_no": "household-1", "store_code": "367", "channel": "pos", "currency": "USD",
        "lines": [{"line_no": 1, "sku_code": "1039126", "quantity": "2", "unit_price_minor": 699}]})
}

impl Asked for ValidateCoupons {
    const NOUN: &'static str = "coupon_validate";
    const PATH: &'static str = "coupons/validate";
    const ABOUT: &'static str = "Try codes against a cart";
    const ACTION: bool = true;
    const KEYED: bool = false;

    fn example() -> Value {
        json!({"codes": ["SPRING10"], "cart": example_cart()})
    }

    fn check(&self, _: Timestamp) -> Checked {
        check_codes(&self.codes)?;
        self.order.as_ref().map_or(Ok(()), CouponOrderValue::check)?;
        check_cart(&self.cart)
    }

    fn unique(&self) -> String {
        self.codes.join("\0")
    }

    fn lines(&self) -> usize {
        self.cart.lines.len()
    }

    fn write(&self, tokens: &Tokeniser, _: Timestamp) -> Written {
        let (order_source, order_no) = order_names(self.order.as_ref());
        let body = |code: &'_ String| coupon_code::key(code);
        let codes = self.codes.iter().map(|code| CodeBody {
            code: Some(code),
            key: body(code),
            discount_minor: None,
            reservation_id: None,
        });
        let (codes, cart) = (codes.collect(), Some(self.cart.write(tokens)?));
        write(&UseBody { codes, order_source, order_no, seconds: None, cart })
    }
}

impl Asked for ReserveCoupons {
    const NOUN: &'static str = "coupon_reserve";
    const PATH: &'static str = "coupons/reserve";
    const ABOUT: &'static str = "Hold codes for a checkout";
    const ACTION: bool = true;

    fn example() -> Value {
        json!({"codes": ["SPRING10"], "order": {"source": "web", "order_no": "1001"}, "seconds": 900, "cart": example_cart()})
    }

    fn check(&self, _: Timestamp) -> Checked {
        check_codes(&self.codes)?;
        self.order.as_ref().map_or(Ok(()), CouponOrderValue::check)?;
        self.seconds.map_or(Ok(()), |seconds| number("/seconds", seconds, RESERVATION_MAX_S))?;
        check_cart(&self.cart)
    }

    fn unique(&self) -> String {
        self.codes.join("\0")
    }

    fn lines(&self) -> usize {
        self.cart.lines.len()
    }

    fn write(&self, tokens: &Tokeniser, _: Timestamp) -> Written {
        let (order_source, order_no) = order_names(self.order.as_ref());
        let codes = self.codes.iter().map(|code| CodeBody {
            code: None,
            key: coupon_code::key(code),
            discount_minor: None,
            reservation_id: self.reservation_id,
        });
        let seconds = Some(self.seconds.unwrap_or(RESERVATION_S));
        let (codes, cart) = (codes.collect(), Some(self.cart.write(tokens)?));
        write(&UseBody { codes, order_source, order_no, seconds, cart })
    }
}

impl Asked for RedeemCoupons {
    const NOUN: &'static str = "coupon_redeem";
    const PATH: &'static str = "coupons/redeem";
    const ABOUT: &'static str = "Use codes for an order";
    const ACTION: bool = true;

    fn example() -> Value {
        json!({"codes": [{"code": "SPRING10"}], "order": {"source": "web", "order_no": "1001"}, "cart": example_cart()})
    }

    fn check(&self, _: Timestamp) -> Checked {
        check_uses("codes", &self.codes, 1)?;
        self.order.check()?;
        self.cart.as_ref().map_or(Ok(()), check_cart)
    }

    fn unique(&self) -> String {
        self.order.unique()
    }

    fn lines(&self) -> usize {
        self.cart.as_ref().map_or(1, |cart| cart.lines.len())
    }

    fn write(&self, tokens: &Tokeniser, _: Timestamp) -> Written {
        let (order_source, order_no) = order_names(Some(&self.order));
        let cart = self.cart.as_ref().map(|cart| cart.write(tokens)).transpose()?;
        write(&UseBody { codes: write_uses(&self.codes), order_source, order_no, seconds: None, cart })
    }
}

impl Asked for ReleaseCoupons {
    const NOUN: &'static str = "coupon_release";
    const PATH: &'static str = "coupons/release";
    const ABOUT: &'static str = "Let a reservation of codes go";
    const ACTION: bool = true;

    fn example() -> Value {
        json!({"reservation_id": "018f0000-0000-7000-8000-000000000001"})
    }

    fn check(&self, _: Timestamp) -> Checked {
        Ok(())
    }

    fn unique(&self) -> String {
        self.reservation_id.to_string()
    }
}

impl Asked for RollbackCoupons {
    const NOUN: &'static str = "coupon_rollback";
    const PATH: &'static str = "coupons/rollback";
    const ABOUT: &'static str = "Take redemptions back";
    const ACTION: bool = true;

    fn example() -> Value {
        json!({"order": {"source": "web", "order_no": "1001"}})
    }

    fn check(&self, _: Timestamp) -> Checked {
        if self.redemption_id.is_some() == self.order.is_some() {
            return Err(OltpError::invalid("oltp.missing", "/redemption_id", "either a redemption or an order"));
        }
        self.order.as_ref().map_or(Ok(()), CouponOrderValue::check)
    }

    fn unique(&self) -> String {
        let order = self.order.as_ref().map(CouponOrderValue::unique);
        order.or_else(|| self.redemption_id.map(|id| id.to_string())).unwrap_or_default()
    }

    fn write(&self, _: &Tokeniser, _: Timestamp) -> Written {
        let (order_source, order_no) = order_names(self.order.as_ref());
        write(&json!({"redemption_id": self.redemption_id, "order_source": order_source, "order_no": order_no}))
    }
}
