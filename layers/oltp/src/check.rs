//! What a command must be like before the store looks at it. Pure: the time comes in from outside.

use crate::command::{
    Command, ConsentValue, Context, OrderLineValue, PaymentValue, PutMember, PutOrder, PutProduct, PutReturn, PutSku,
    PutStore,
};
use crate::error::OltpError;
use crate::gtin;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use model::{Currency, Decimal, Timestamp};
use serde_json::{Map, Value};
use std::collections::HashSet;

type Checked = Result<(), OltpError>;

/// Types of stores.
pub(crate) const STORE_TYPES: &[&str] = &["physical", "web", "marketplace"];
/// Statuses of products.
pub(crate) const PRODUCT_STATUSES: &[&str] = &["active", "archived"];
/// Statuses of orders.
pub(crate) const ORDER_STATUSES: &[&str] = &["pending", "paid", "partially_fulfilled", "fulfilled", "cancelled"];
/// Statuses of returns.
pub(crate) const RETURN_STATUSES: &[&str] = &["requested", "completed", "rejected"];

const CODE_MAX: usize = 128;
const SOURCE_MAX: usize = 64;
const TITLE_MAX: usize = 512;
const WORD_MAX: usize = 256;
const TEXT_MAX: usize = 1024;
const LINES_MAX: usize = 1000;
const PAYMENTS_MAX: usize = 100;
const IDENTITIES_MAX: usize = 32;
const CONSENTS_MAX: usize = 64;
const COUPONS_MAX: usize = 100;
const ATTRIBUTES_BYTES_MAX: usize = 65_536;
const ATTRIBUTES_DEPTH_MAX: usize = 16;
/// Largest amount in minor units: sums of 1,000 lines stay far inside of 64 bits.
pub(crate) const AMOUNT_MAX: i64 = 1_000_000_000_000_000;
/// Largest quantity of a line, and of all lines of an order together.
pub(crate) const QUANTITY_MAX: i64 = 1_000_000_000_000;

/// A command as a whole.
pub(crate) fn command(command: &Command, now: Timestamp) -> Checked {
    match command {
        Command::Store(body) => store(body, now),
        Command::Product(body) => product(body, now),
        Command::Sku(body) => sku(body, now),
        Command::Member(body) => member(body, now),
        Command::Order(body) => order(body, now),
        Command::Return(body) => sales_return(body, now),
    }
}

/// Who asks.
pub(crate) fn context(context: &Context) -> Checked {
    let fail = |detail: &str| Err(OltpError::invalid("oltp.invalid_context", "", detail));
    if context.actor.contains('\0') || context.request_id.contains('\0') {
        return fail("actor and request id hold no NUL");
    }
    if context.reason.as_ref().is_some_and(|reason| reason.contains('\0') || reason.chars().count() > TEXT_MAX) {
        return fail("a reason has at most 1,024 characters, none of them NUL");
    }
    if context.idempotency_key.as_ref().is_some_and(|key| key.is_empty() || key.len() > 255 || key.contains('\0')) {
        return fail("an idempotency key has 1 to 255 bytes, none of them NUL");
    }
    Ok(())
}

fn store(body: &PutStore, now: Timestamp) -> Checked {
    text("/store_code", &body.store_code, CODE_MAX)?;
    text("/name", &body.name, TITLE_MAX)?;
    one_of("/type", body.store_type.as_deref(), STORE_TYPES)?;
    timezone(body.timezone.as_deref())?;
    country(body.country_code.as_deref())?;
    optional("/region", body.region.as_deref(), WORD_MAX)?;
    attributes(&body.attributes)?;
    past("/source_updated_at", body.source_updated_at, now)
}

fn product(body: &PutProduct, now: Timestamp) -> Checked {
    text("/product_code", &body.product_code, CODE_MAX)?;
    text("/title", &body.title, TITLE_MAX)?;
    optional("/brand", body.brand.as_deref(), WORD_MAX)?;
    optional("/department", body.department.as_deref(), WORD_MAX)?;
    optional("/category", body.category.as_deref(), WORD_MAX)?;
    one_of("/status", body.status.as_deref(), PRODUCT_STATUSES)?;
    attributes(&body.attributes)?;
    past("/source_updated_at", body.source_updated_at, now)
}

fn sku(body: &PutSku, now: Timestamp) -> Checked {
    text("/sku_code", &body.sku_code, CODE_MAX)?;
    text("/product_code", &body.product_code, CODE_MAX)?;
    if let Some(gtin) = &body.gtin {
        gtin::normalise(gtin).map_err(|detail| OltpError::invalid("oltp.invalid_gtin", "/gtin", detail))?;
    }
    optional("/uom", body.uom.as_deref(), 32)?;
    if let Some(price) = body.list_price_minor {
        amount("/list_price_minor", price, 0)?;
        if body.currency.is_none() {
            return Err(OltpError::invalid("oltp.missing", "/currency", "a list price needs its currency"));
        }
    }
    body.currency.as_deref().map_or(Ok(()), currency)?;
    past("/source_updated_at", body.source_updated_at, now)
}

fn member(body: &PutMember, now: Timestamp) -> Checked {
    text("/member_no", &body.member_no, CODE_MAX)?;
    one_of("/status", body.status.as_deref(), &["active", "suspended", "closed"])?;
    optional("/first_name", body.first_name.as_deref(), WORD_MAX)?;
    optional("/last_name", body.last_name.as_deref(), WORD_MAX)?;
    if let Some(day) = body.birth_date {
        days("/birth_date", day, date(1900, 1, 1), now)?;
    }
    optional("/tier_code", body.tier_code.as_deref(), WORD_MAX)?;
    if let Some(at) = body.enrolled_at {
        between("/enrolled_at", at, 1900, now)?;
    }
    optional("/enrol_channel", body.enrol_channel.as_deref(), WORD_MAX)?;
    optional("/home_store_code", body.home_store_code.as_deref(), CODE_MAX)?;
    optional("/locale", body.locale.as_deref(), 35)?;
    timezone(body.timezone.as_deref())?;
    country(body.country_code.as_deref())?;
    count("/identities", body.identities.len(), 0, IDENTITIES_MAX)?;
    count("/consents", body.consents.len(), 0, CONSENTS_MAX)?;
    consents(&body.consents, now)?;
    attributes(&body.attributes)?;
    past("/source_updated_at", body.source_updated_at, now)
}

fn consents(consents: &[ConsentValue], now: Timestamp) -> Checked {
    let mut seen = HashSet::new();
    for (i, consent) in consents.iter().enumerate() {
        let at = |field: &str| format!("/consents/{i}/{field}");
        let purposes = ["marketing", "personalisation", "analytics", "ads_sharing"];
        let channels = ["email", "sms", "push", "phone", "post", "ads", "web"];
        one_of(&at("purpose"), Some(&consent.purpose), &purposes)?;
        one_of(&at("channel"), Some(&consent.channel), &channels)?;
        one_of(&at("status"), Some(&consent.status), &["granted", "denied", "revoked"])?;
        optional(&at("source"), consent.source.as_deref(), WORD_MAX)?;
        past(&at("status_at"), consent.status_at, now)?;
        if let Some(expiry) = consent.expires_at
            && (year(expiry) < 1970 || year(expiry) > 9000)
        {
            return Err(OltpError::invalid("oltp.out_of_range", at("expires_at"), "between the years 1970 and 9000"));
        }
        if !seen.insert((&consent.purpose, &consent.channel)) {
            let detail = "each purpose and channel comes once in a command";
            return Err(OltpError::invalid("oltp.duplicate_consent", at("channel"), detail));
        }
    }
    Ok(())
}

fn order(body: &PutOrder, now: Timestamp) -> Checked {
    source("/source", &body.source)?;
    text("/order_no", &body.order_no, CODE_MAX)?;
    one_of("/channel", Some(&body.channel), &["pos", "ecom", "marketplace"])?;
    optional("/store_code", body.store_code.as_deref(), CODE_MAX)?;
    optional("/member_no", body.member_no.as_deref(), CODE_MAX)?;
    optional("/anonymous_id", body.anonymous_id.as_deref(), WORD_MAX)?;
    between("/placed_at", body.placed_at, 1970, now)?;
    if let Some(day) = body.business_date {
        days("/business_date", day, date(1970, 1, 1), now)?;
    }
    currency(&body.currency)?;
    one_of("/status", body.status.as_deref(), ORDER_STATUSES)?;
    amount("/shipping_minor", body.shipping_minor, -AMOUNT_MAX)?;
    count("/coupon_codes", body.coupon_codes.len(), 0, COUPONS_MAX)?;
    for (i, code) in body.coupon_codes.iter().enumerate() {
        text(&format!("/coupon_codes/{i}"), code, CODE_MAX)?;
    }
    lines(&body.lines)?;
    payments(&body.payments, now)?;
    past("/source_updated_at", body.source_updated_at, now)
}

fn lines(lines: &[OrderLineValue]) -> Checked {
    count("/lines", lines.len(), 1, LINES_MAX)?;
    let mut seen = HashSet::with_capacity(lines.len());
    for (i, line) in lines.iter().enumerate() {
        order_line(line).map_err(|error| below(error, "lines", i))?;
        if !seen.insert(line.line_no) {
            let detail = format!("line number {} comes twice", line.line_no);
            return Err(OltpError::invalid("oltp.duplicate_line", format!("/lines/{i}/line_no"), detail));
        }
    }
    Ok(())
}

fn order_line(line: &OrderLineValue) -> Checked {
    number("/line_no", line.line_no, 10_000)?;
    text("/sku_code", &line.sku_code, CODE_MAX)?;
    quantity("/quantity", line.quantity)?;
    if line.unit_price_minor.is_none() && line.gross_minor.is_none() {
        let detail = "a line has a unit price, an extended amount or both";
        return Err(OltpError::invalid("oltp.missing", "/unit_price_minor", detail));
    }
    line.unit_price_minor.map_or(Ok(()), |price| amount("/unit_price_minor", price, 0))?;
    line.gross_minor.map_or(Ok(()), |gross| amount("/gross_minor", gross, 0))?;
    amount("/discount_minor", line.discount_minor, 0)?;
    amount("/tax_minor", line.tax_minor, -AMOUNT_MAX)?;
    optional("/description", line.description.as_deref(), TEXT_MAX)
}

fn payments(payments: &[PaymentValue], now: Timestamp) -> Checked {
    count("/payments", payments.len(), 0, PAYMENTS_MAX)?;
    let mut seen = HashSet::with_capacity(payments.len());
    for (i, payment) in payments.iter().enumerate() {
        tender(payment, now).map_err(|error| below(error, "payments", i))?;
        if !seen.insert(payment.payment_no) {
            let detail = format!("payment number {} comes twice", payment.payment_no);
            return Err(OltpError::invalid("oltp.duplicate_payment", format!("/payments/{i}/payment_no"), detail));
        }
    }
    Ok(())
}

fn tender(payment: &PaymentValue, now: Timestamp) -> Checked {
    number("/payment_no", payment.payment_no, 1000)?;
    let types = ["cash", "card", "gift_card", "points", "wallet", "bnpl", "other"];
    one_of("/tender_type", Some(&payment.tender_type), &types)?;
    amount("/amount_minor", payment.amount_minor, 0)?;
    one_of("/status", payment.status.as_deref(), &["authorised", "captured", "failed", "voided"])?;
    optional("/processor_ref", payment.processor_ref.as_deref(), WORD_MAX)?;
    past("/captured_at", payment.captured_at, now)
}

fn sales_return(body: &PutReturn, now: Timestamp) -> Checked {
    source("/source", &body.source)?;
    text("/return_no", &body.return_no, CODE_MAX)?;
    source("/order_source", &body.order_source)?;
    text("/order_no", &body.order_no, CODE_MAX)?;
    optional("/store_code", body.store_code.as_deref(), CODE_MAX)?;
    between("/returned_at", body.returned_at, 1970, now)?;
    if let Some(day) = body.business_date {
        days("/business_date", day, date(1970, 1, 1), now)?;
    }
    one_of("/status", body.status.as_deref(), RETURN_STATUSES)?;
    optional("/reason", body.reason.as_deref(), TEXT_MAX)?;
    count("/lines", body.lines.len(), 1, LINES_MAX)?;
    let mut seen = HashSet::with_capacity(body.lines.len());
    for (i, line) in body.lines.iter().enumerate() {
        number("/line_no", line.line_no, 10_000).map_err(|error| below(error, "lines", i))?;
        quantity("/quantity", line.quantity).map_err(|error| below(error, "lines", i))?;
        if line.quantity.is_zero() {
            let detail = "a quantity that comes back is more than zero";
            return Err(OltpError::invalid("oltp.out_of_range", format!("/lines/{i}/quantity"), detail));
        }
        line.net_minor.map_or(Ok(()), |net| amount("/net_minor", net, 0)).map_err(|error| below(error, "lines", i))?;
        if !seen.insert(line.line_no) {
            let detail = format!("line number {} comes twice", line.line_no);
            return Err(OltpError::invalid("oltp.duplicate_line", format!("/lines/{i}/line_no"), detail));
        }
    }
    past("/source_updated_at", body.source_updated_at, now)
}

/// Moves an error's pointer below an item of a list.
fn below(error: OltpError, list: &str, i: usize) -> OltpError {
    match error {
        OltpError::Invalid { code, pointer, detail } => {
            OltpError::Invalid { code, pointer: format!("/{list}/{i}{pointer}"), detail }
        }
        other => other,
    }
}

fn text(pointer: &str, value: &str, max: usize) -> Checked {
    if value.trim().is_empty() {
        return Err(OltpError::invalid("oltp.missing", pointer, "must not be empty"));
    }
    optional(pointer, Some(value), max)
}

fn optional(pointer: &str, value: Option<&str>, max: usize) -> Checked {
    let Some(value) = value else { return Ok(()) };
    // A character has at most four bytes: most texts need no count.
    if value.len() > max && value.chars().count() > max {
        return Err(OltpError::invalid("oltp.invalid_text", pointer, format!("has at most {max} characters")));
    }
    if value.contains('\0') {
        return Err(OltpError::invalid("oltp.invalid_text", pointer, "holds a NUL character"));
    }
    Ok(())
}

fn source(pointer: &str, value: &str) -> Checked {
    text(pointer, value, SOURCE_MAX)?;
    if value.contains(':') {
        return Err(OltpError::invalid(
            "oltp.invalid_text",
            pointer,
            "a source has no colon: `source:number` names a record",
        ));
    }
    Ok(())
}

fn one_of(pointer: &str, value: Option<&str>, allowed: &[&str]) -> Checked {
    match value {
        Some(value) if !allowed.contains(&value) => {
            Err(OltpError::invalid("oltp.invalid_value", pointer, format!("one of {}", allowed.join(", "))))
        }
        _ => Ok(()),
    }
}

fn count(pointer: &str, count: usize, min: usize, max: usize) -> Checked {
    if (min..=max).contains(&count) {
        return Ok(());
    }
    Err(OltpError::invalid("oltp.invalid_count", pointer, format!("has {min} to {max} entries, not {count}")))
}

fn number(pointer: &str, value: i32, max: i32) -> Checked {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    Err(OltpError::invalid("oltp.out_of_range", pointer, format!("between 1 and {max}")))
}

fn amount(pointer: &str, value: i64, min: i64) -> Checked {
    if (min..=AMOUNT_MAX).contains(&value) {
        return Ok(());
    }
    Err(OltpError::invalid("oltp.out_of_range", pointer, format!("between {min} and {AMOUNT_MAX} minor units")))
}

fn quantity(pointer: &str, value: Decimal) -> Checked {
    if value.is_sign_negative() && !value.is_zero() {
        let detail = "not negative: goods that come back are a return";
        return Err(OltpError::invalid("oltp.out_of_range", pointer, detail));
    }
    if value > Decimal::from(QUANTITY_MAX) || value.normalize().scale() > 4 {
        return Err(OltpError::invalid("oltp.out_of_range", pointer, "at most 1e12, with at most four decimals"));
    }
    Ok(())
}

fn currency(code: &str) -> Checked {
    Currency::parse(code).map(|_| ()).map_err(|_| {
        OltpError::invalid("oltp.invalid_value", "/currency", "an ISO 4217 code: three upper-case letters, such as USD")
    })
}

fn country(code: Option<&str>) -> Checked {
    match code {
        Some(code) if code.len() != 2 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) => {
            Err(OltpError::invalid(
                "oltp.invalid_value",
                "/country_code",
                "an ISO 3166 alpha-2 code: two upper-case letters, such as US",
            ))
        }
        _ => Ok(()),
    }
}

fn timezone(name: Option<&str>) -> Checked {
    match name {
        Some(name) if name.len() > 64 || TimeZone::get(name).is_err() => {
            Err(OltpError::invalid("oltp.unknown_timezone", "/timezone", "an IANA time zone, such as Europe/Berlin"))
        }
        _ => Ok(()),
    }
}

fn year(at: Timestamp) -> i16 {
    at.to_zoned(TimeZone::UTC).year()
}

/// A time from the start of a year to one day after now: sources' clocks may be ahead, but not by more.
fn between(pointer: &str, at: Timestamp, first_year: i16, now: Timestamp) -> Checked {
    let latest = now.checked_add(jiff::SignedDuration::from_hours(24)).unwrap_or(now);
    if at <= latest && year(at) >= first_year {
        return Ok(());
    }
    let detail = format!("between the year {first_year} and one day after now");
    Err(OltpError::invalid("oltp.out_of_range", pointer, detail))
}

fn past(pointer: &str, at: Option<Timestamp>, now: Timestamp) -> Checked {
    at.map_or(Ok(()), |at| between(pointer, at, 1970, now))
}

fn days(pointer: &str, day: Date, first: Date, now: Timestamp) -> Checked {
    // Two days: the day of a time that is one day ahead, in the zone farthest ahead of UTC.
    let latest = now.checked_add(jiff::SignedDuration::from_hours(48)).unwrap_or(now).to_zoned(TimeZone::UTC).date();
    if (first..=latest).contains(&day) {
        return Ok(());
    }
    Err(OltpError::invalid("oltp.out_of_range", pointer, format!("between {first} and {latest}")))
}

fn attributes(map: &Map<String, Value>) -> Checked {
    if map.is_empty() {
        return Ok(());
    }
    let fail = |detail: &str| Err(OltpError::invalid("oltp.invalid_attributes", "/attributes", detail));
    if map.iter().any(|(key, value)| key.contains('\0') || deeper_or_nul(value, 1)) {
        return fail("at most 16 levels deep, without NUL characters");
    }
    match serde_json::to_vec(map) {
        Ok(bytes) if bytes.len() <= ATTRIBUTES_BYTES_MAX => Ok(()),
        _ => fail("at most 65,536 bytes of JSON"),
    }
}

fn deeper_or_nul(value: &Value, depth: usize) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => depth >= ATTRIBUTES_DEPTH_MAX || items.iter().any(|item| deeper_or_nul(item, depth + 1)),
        Value::Object(map) => {
            depth >= ATTRIBUTES_DEPTH_MAX
                || map.iter().any(|(key, item)| key.contains('\0') || deeper_or_nul(item, depth + 1))
        }
        _ => false,
    }
}
