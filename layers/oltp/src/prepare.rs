//! Commands made ready for the store: checked, tokenised, summed up, with ids for what may be new. Pure but for the ids.

use crate::command::{Command, Context, PutMember, PutOrder, PutReturn, PutSku};
use crate::error::OltpError;
use crate::{check, gtin, order};
use jiff::civil::Date;
use model::{Decimal, IdentityKind, Timestamp, Tokeniser};
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A command ready to be sent.
pub(crate) struct Prepared {
    /// Its place in the batch.
    pub(crate) index: usize,
    /// Its kind, as the SQL functions are named.
    pub(crate) kind: &'static str,
    /// What it locks: commands of a wave are sent in this order, so that two transactions cannot wait for each other.
    pub(crate) order: String,
    /// Its natural key: twice in a wave would be one too many.
    pub(crate) unique: String,
    /// Its idempotency key with its owner.
    pub(crate) idempotency: Option<String>,
    /// Its lines.
    pub(crate) lines: usize,
    /// What the SQL function takes.
    pub(crate) json: String,
}

#[derive(Serialize)]
struct Item<'a, B> {
    i: usize,
    c: Who<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    id: Uuid,
    b: B,
}

#[derive(Serialize)]
struct Who<'a> {
    actor: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    request: &'a str,
}

#[derive(Serialize)]
struct SkuBody<'a> {
    #[serde(flatten)]
    sku: &'a PutSku,
    gtin14: Option<String>,
}

#[derive(Serialize)]
struct MemberBody<'a> {
    #[serde(flatten)]
    member: &'a PutMember,
    account_id: Uuid,
    tokens: Vec<TokenBody>,
    granted: Vec<ConsentBody<'a>>,
    now: Timestamp,
}

#[derive(Serialize)]
struct TokenBody {
    id: Uuid,
    n: usize,
    kind: IdentityKind,
    token: String,
    value: String,
}

#[derive(Serialize)]
struct ConsentBody<'a> {
    id: Uuid,
    purpose: &'a str,
    channel: &'a str,
    status: &'a str,
    status_at: Timestamp,
    /// Whether the time came with the command: a status repeated without one is no news.
    timed: bool,
    expires_at: Option<Timestamp>,
    source: Option<&'a str>,
}

#[derive(Serialize)]
struct OrderBody<'a> {
    source: &'a str,
    order_no: &'a str,
    channel: &'a str,
    store_code: Option<&'a str>,
    member_no: Option<&'a str>,
    buyer_kind: Option<IdentityKind>,
    buyer_token: Option<&'a str>,
    anonymous_id: Option<String>,
    business_date: Option<Date>,
    placed_at: Timestamp,
    currency: &'a str,
    status: &'a str,
    units: Decimal,
    gross: i64,
    discount: i64,
    tax: i64,
    shipping: i64,
    net: i64,
    total: i64,
    coupon_codes: &'a [String],
    source_updated_at: Option<Timestamp>,
    lines: Vec<LineBody<'a>>,
    payments: Vec<PaymentBody<'a>>,
}

#[derive(Serialize)]
struct LineBody<'a> {
    id: Uuid,
    n: i32,
    sku: &'a str,
    q: Decimal,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<i64>,
    gross: i64,
    discount: i64,
    tax: i64,
    void: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

#[derive(Serialize)]
struct PaymentBody<'a> {
    id: Uuid,
    n: i32,
    tender: &'a str,
    amount: i64,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    captured_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct ReturnBody<'a> {
    #[serde(flatten)]
    body: &'a PutReturn,
    ids: Vec<Uuid>,
}

/// Checks a command and makes it ready.
pub(crate) fn prepare(
    index: usize,
    context: &Context,
    command: &Command,
    tokens: &Tokeniser,
    now: Timestamp,
) -> Result<Prepared, OltpError> {
    check::context(context)?;
    check::command(command, now)?;
    let with = With { index, context, command };
    match command {
        Command::Store(body) => with.ready("store", &body.store_code, 0, body),
        Command::Product(body) => with.ready("product", &body.product_code, 0, body),
        Command::Sku(body) => with.ready("sku", &body.sku_code, 0, sku(body)?),
        Command::Member(body) => with.ready("member", &body.member_no, 0, member(body, tokens, now)?),
        Command::Order(body) => {
            let key = format!("{}\0{}", body.source, body.order_no);
            let identity = buyer(body, tokens)?;
            with.ready("order", &key, body.lines.len(), order_body(body, &identity)?)
        }
        Command::Return(body) => {
            let lines = body.lines.len();
            let unique = format!("{}\0{}", body.source, body.return_no);
            let ids = body.lines.iter().map(|_| Uuid::now_v7()).collect();
            let mut ready = with.ready("return", &unique, lines, ReturnBody { body, ids })?;
            // A return locks its order.
            ready.order = format!("{}\0{}", body.order_source, body.order_no);
            Ok(ready)
        }
    }
}

struct With<'a> {
    index: usize,
    context: &'a Context,
    command: &'a Command,
}

impl With<'_> {
    fn ready<B: Serialize>(
        self,
        kind: &'static str,
        unique: &str,
        lines: usize,
        body: B,
    ) -> Result<Prepared, OltpError> {
        let context = self.context;
        let fault =
            |error: serde_json::Error| OltpError::Internal(format!("a command cannot be written as JSON: {error}"));
        let hash = match context.idempotency_key {
            Some(_) => Some(hex::encode(Sha256::digest(serde_json::to_vec(self.command).map_err(fault)?))),
            None => None,
        };
        let item = Item {
            i: self.index,
            c: Who { actor: &context.actor, reason: context.reason.as_deref(), request: &context.request_id },
            key: context.idempotency_key.as_deref(),
            hash,
            id: Uuid::now_v7(),
            b: body,
        };
        Ok(Prepared {
            index: self.index,
            kind,
            order: unique.to_owned(),
            unique: unique.to_owned(),
            idempotency: context.idempotency_key.as_ref().map(|key| format!("{}\0{key}", context.actor)),
            lines,
            json: serde_json::to_string(&item).map_err(fault)?,
        })
    }
}

fn sku(body: &PutSku) -> Result<SkuBody<'_>, OltpError> {
    let gtin14 = body.gtin.as_deref().map(gtin::normalise).transpose();
    let gtin14 = gtin14.map_err(|detail| OltpError::invalid("oltp.invalid_gtin", "/gtin", detail))?;
    Ok(SkuBody { sku: body, gtin14 })
}

fn member<'a>(body: &'a PutMember, tokens: &Tokeniser, now: Timestamp) -> Result<MemberBody<'a>, OltpError> {
    let identities = body.identities.iter().enumerate().map(|(n, identity)| {
        let fail = |error: model::identity::IdentityError| {
            OltpError::invalid("oltp.invalid_identity", format!("/identities/{n}/value"), error.to_string())
        };
        let token = tokens.identify(identity.kind, &identity.value).map_err(fail)?.token;
        let value = identity.kind.normalise(&identity.value).map_err(fail)?;
        Ok(TokenBody { id: Uuid::now_v7(), n, kind: identity.kind, token, value })
    });
    let consents = body.consents.iter().map(|consent| ConsentBody {
        id: Uuid::now_v7(),
        purpose: &consent.purpose,
        channel: &consent.channel,
        status: &consent.status,
        status_at: consent.status_at.unwrap_or(now),
        timed: consent.status_at.is_some(),
        expires_at: consent.expires_at,
        source: consent.source.as_deref(),
    });
    Ok(MemberBody {
        member: body,
        account_id: Uuid::now_v7(),
        tokens: identities.collect::<Result<_, OltpError>>()?,
        granted: consents.collect(),
        now,
    })
}

/// The buyer's identity as a token.
fn buyer(body: &PutOrder, tokens: &Tokeniser) -> Result<Option<model::Identity>, OltpError> {
    let identity = body.buyer.as_ref().map(|buyer| tokens.identify(buyer.kind, &buyer.value)).transpose();
    identity.map_err(|error| OltpError::invalid("oltp.invalid_identity", "/buyer/value", error.to_string()))
}

/// The visitor who became the buyer, in the form in which visitors are known elsewhere. An empty id would be everybody's.
fn visitor(body: &PutOrder) -> Result<Option<String>, OltpError> {
    let id = body.anonymous_id.as_deref().map(|id| IdentityKind::Anonymous.normalise(id)).transpose();
    id.map_err(|error| OltpError::invalid("oltp.invalid_identity", "/anonymous_id", error.to_string()))
}

fn order_body<'a>(body: &'a PutOrder, buyer: &'a Option<model::Identity>) -> Result<OrderBody<'a>, OltpError> {
    let sums = order::sums(body)?;
    let lines = body.lines.iter().map(|line| LineBody {
        id: Uuid::now_v7(),
        n: line.line_no,
        sku: &line.sku_code,
        q: line.quantity,
        price: line.unit_price_minor,
        gross: order::line_gross(line).unwrap_or(0),
        discount: line.discount_minor,
        tax: line.tax_minor,
        void: line.voided,
        text: line.description.as_deref(),
    });
    let payments = body.payments.iter().map(|payment| PaymentBody {
        id: Uuid::now_v7(),
        n: payment.payment_no,
        tender: &payment.tender_type,
        amount: payment.amount_minor,
        status: payment.status.as_deref().unwrap_or("captured"),
        reference: payment.processor_ref.as_deref(),
        captured_at: payment.captured_at,
    });
    Ok(OrderBody {
        source: &body.source,
        order_no: &body.order_no,
        channel: &body.channel,
        store_code: body.store_code.as_deref(),
        member_no: body.member_no.as_deref(),
        buyer_kind: buyer.as_ref().map(|identity| identity.kind),
        buyer_token: buyer.as_ref().map(|identity| identity.token.as_str()),
        anonymous_id: visitor(body)?,
        business_date: body.business_date,
        placed_at: body.placed_at,
        currency: &body.currency,
        status: body.status.as_deref().unwrap_or("paid"),
        units: sums.units,
        gross: sums.gross,
        discount: sums.discount,
        tax: sums.tax,
        shipping: body.shipping_minor,
        net: sums.net,
        total: sums.total,
        coupon_codes: &body.coupon_codes,
        source_updated_at: body.source_updated_at,
        lines: lines.collect(),
        payments: payments.collect(),
    })
}
