//! Commands: what may be asked of the store. They are also the bodies of the API, so each field is documented for its users.
//! Each kind has a file of its own: its body, its checks, and what its SQL function takes.
//!
//! A command names things by *their* codes and numbers; the store answers with ours.

mod address;
mod brand;
mod bundle;
mod campaign;
mod category;
mod consent;
mod coupon;
mod coupon_definition;
mod coupon_issue;
mod erasure;
mod identity;
mod member;
mod membership;
mod merge;
mod order;
mod order_addresses;
mod points;
mod points_program;
mod points_reservation;
mod price;
mod product;
mod sales_return;
mod shipment;
mod sku;
mod stock;
mod store;
mod subscription;
mod ticket;
mod tier;

pub use address::AddressValue;
pub use brand::PutBrand;
pub use bundle::{ComponentValue, PutBundle};
pub use campaign::{PutAdSpend, PutCampaign};
pub use category::PutCategory;
pub use consent::ConsentValue;
pub use coupon::{
    CartLineValue, CartValue, CouponOrderValue, RedeemCoupons, RedemptionValue, ReleaseCoupons, ReserveCoupons,
    RollbackCoupons, ValidateCoupons,
};
pub use coupon_definition::{GoodsValue, PutCouponDefinition};
pub use coupon_issue::{AssignCoupon, IssueCoupons, VoidCoupons};
pub use erasure::EraseMember;
pub use identity::{IdentityValue, LookupMember, MemberIdentityValue, Strength, UnlinkIdentities};
pub use member::PutMember;
pub use membership::PutExternalMembership;
pub use merge::{MergeMembers, UnmergeMember};
pub use order::{OrderLineValue, PaymentValue, PutOrder};
pub use order_addresses::PutOrderAddresses;
pub use points::{AdjustPoints, BurnPoints, EarnPoints, MemberName, TransferPoints};
pub use points_program::PutPointsProgram;
pub use points_reservation::{CapturePoints, RefundPoints, ReleasePoints, ReservePoints};
pub use price::PutPrice;
pub use product::PutProduct;
pub use sales_return::{PutReturn, RefundValue, ReturnLineValue};
pub use shipment::{PutShipment, ShipmentEventValue, ShipmentLineValue};
pub use sku::PutSku;
pub use stock::{
    PutInventoryLevel, StockAdjust, StockCapture, StockCount, StockLineValue, StockReceive, StockRelease, StockReserve,
    StockShrink, StockTransfer, StockTransferReceive,
};
pub use store::{HoursValue, PutStore, StoreDayValue};
pub use subscription::PutSubscription;
pub use ticket::PutTicket;
pub use tier::{PutTier, SetMemberTier};

pub(crate) use campaign::{AD_LEVELS, CAMPAIGN_CHANNELS, CAMPAIGN_STATUSES};
pub(crate) use coupon::REDEMPTION_STATUSES;
pub(crate) use coupon_definition::DEFINITION_STATUSES;
pub(crate) use coupon_issue::COUPON_STATUSES;
pub(crate) use membership::MEMBERSHIP_STATUSES;
pub(crate) use order::ORDER_STATUSES;
pub(crate) use product::PRODUCT_STATUSES;
pub(crate) use sales_return::RETURN_STATUSES;
pub(crate) use shipment::SHIPMENT_STATUSES;
pub(crate) use stock::{MOVEMENT_TYPES, RESERVATION_STATUSES, TRANSFER_STATUSES};
pub(crate) use store::STORE_TYPES;
pub(crate) use subscription::SUBSCRIPTION_STATUSES;
pub(crate) use ticket::{TICKET_STATUSES, TICKET_TYPES};

use crate::check::Checked;
use crate::error::OltpError;
use model::{Timestamp, Tokeniser};
use serde::de::{DeserializeSeed, Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};
use uuid::Uuid;

/// A body as the SQL function of its kind takes it.
pub(crate) type Written = Result<Box<RawValue>, OltpError>;

/// What there is to know about a kind of command. The SQL function of the kind `x` is `crm.do_x(items jsonb)`; the first kinds
/// have functions of older names.
pub(crate) trait Asked: Serialize + ToSchema {
    /// Name of the kind; a record's noun, or an action such as `points_redeem`.
    const NOUN: &'static str;
    /// Path below `/api/v1/`.
    const PATH: &'static str;
    /// What it does, in one line.
    const ABOUT: &'static str;
    /// Whether it does something rather than putting a record.
    const ACTION: bool = false;
    /// Whether it needs an idempotency key: what is done each time it comes does, and a question does not.
    const KEYED: bool = Self::ACTION;

    /// A body for the documentation.
    fn example() -> Value;

    /// Whether the body could be true.
    fn check(&self, now: Timestamp) -> Checked;

    /// The natural key: the same one comes once only in a wave.
    fn unique(&self) -> String;

    /// What it locks first: the commands of a wave are sorted by it.
    fn locks(&self) -> String {
        self.unique()
    }

    /// Its lines, which bound a transaction.
    fn lines(&self) -> usize {
        0
    }

    /// The SQL function that takes it, where not all of a kind go to one.
    fn function(&self) -> &'static str {
        Self::NOUN
    }

    /// What the SQL function takes.
    fn write(&self, _tokens: &Tokeniser, _now: Timestamp) -> Written {
        write(self)
    }
}

/// Writes a body as JSON.
pub(crate) fn write(body: &(impl Serialize + ?Sized)) -> Written {
    serde_json::value::to_raw_value(body)
        .map_err(|error| OltpError::Internal(format!("a command cannot be written as JSON: {error}")))
}

/// A kind of command, for the doors that take it.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Name: a record's noun, or an action such as `points_redeem`.
    pub noun: &'static str,
    /// Path below `/api/v1/`.
    pub path: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// Whether it does something rather than putting a record.
    pub action: bool,
    /// Whether it needs an idempotency key.
    pub keyed: bool,
    /// A body for the documentation.
    pub example: fn() -> Value,
    /// Name of its body's schema.
    pub schema: fn() -> Cow<'static, str>,
    /// Its body's schema, and those that it refers to.
    pub schemas: fn(&mut Vec<(String, RefOr<Schema>)>),
}

impl Kind {
    /// The area of a key's scopes that it is of: the first word of its path.
    #[must_use]
    pub fn area(&self) -> &'static str {
        self.path.split('/').next().unwrap_or(self.path)
    }

    /// The scope that a key needs to write it.
    #[must_use]
    pub fn scope(&self) -> String {
        format!("{}:write", self.area())
    }

    const fn of<T: Asked>() -> Self {
        Self {
            noun: T::NOUN,
            path: T::PATH,
            about: T::ABOUT,
            action: T::ACTION,
            keyed: T::KEYED,
            example: T::example,
            schema: T::name,
            schemas: schemas::<T>,
        }
    }

    /// The kind of a name.
    #[must_use]
    pub fn named(noun: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.noun == noun)
    }
}

fn schemas<T: Asked>(all: &mut Vec<(String, RefOr<Schema>)>) {
    all.push((T::name().into_owned(), T::schema()));
    T::schemas(all);
}

/// Declares all kinds: the enum, the list, and how a body of a kind is read.
macro_rules! commands {
    ($($name:ident($body:ident)),+ $(,)?) => {
        /// One command.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(tag = "type", content = "body", rename_all = "snake_case")]
        #[allow(clippy::large_enum_variant, reason = "orders are the most frequent, and a command is moved a few times only")]
        pub enum Command {
            $(#[doc = concat!("See [`", stringify!($body), "`].")] $name($body),)+
        }

        /// All kinds.
        pub static KINDS: &[Kind] = &[$(Kind::of::<$body>()),+];

        impl<'de> DeserializeSeed<'de> for &Kind {
            type Value = Command;

            /// Reads the body of a command of this kind.
            fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Command, D::Error> {
                $(if self.noun == <$body as Asked>::NOUN {
                    return $body::deserialize(from).map(Command::$name);
                })+
                Err(D::Error::custom("no such kind of command"))
            }
        }

        impl Command {
            /// Its kind.
            #[must_use]
            pub const fn noun(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => <$body as Asked>::NOUN,)+
                }
            }

            pub(crate) fn ask<R>(&self, visitor: impl Visitor<R>) -> R {
                match self {
                    $(Self::$name(body) => visitor.visit(body),)+
                }
            }
        }
    };
}

/// Whoever does the same with the body of any kind.
pub(crate) trait Visitor<R> {
    fn visit<T: Asked>(self, body: &T) -> R;
}

commands! {
    Store(PutStore),
    Product(PutProduct),
    Sku(PutSku),
    Member(PutMember),
    Order(PutOrder),
    OrderAddresses(PutOrderAddresses),
    Return(PutReturn),
    Campaign(PutCampaign),
    AdSpend(PutAdSpend),
    Shipment(PutShipment),
    Ticket(PutTicket),
    Subscription(PutSubscription),
    Tier(PutTier),
    ExternalMembership(PutExternalMembership),
    MemberTier(SetMemberTier),
    MemberMerge(MergeMembers),
    MemberUnmerge(UnmergeMember),
    MemberUnlink(UnlinkIdentities),
    MemberErase(EraseMember),
    PointsProgram(PutPointsProgram),
    PointsEarn(EarnPoints),
    PointsBurn(BurnPoints),
    PointsReserve(ReservePoints),
    PointsCapture(CapturePoints),
    PointsRelease(ReleasePoints),
    PointsRefund(RefundPoints),
    PointsTransfer(TransferPoints),
    PointsAdjust(AdjustPoints),
    CouponDefinition(PutCouponDefinition),
    CouponIssue(IssueCoupons),
    CouponAssign(AssignCoupon),
    CouponVoid(VoidCoupons),
    CouponValidate(ValidateCoupons),
    CouponReserve(ReserveCoupons),
    CouponRelease(ReleaseCoupons),
    CouponRedeem(RedeemCoupons),
    CouponRollback(RollbackCoupons),
    Brand(PutBrand),
    Category(PutCategory),
    Bundle(PutBundle),
    Price(PutPrice),
    InventoryLevel(PutInventoryLevel),
    StockReceive(StockReceive),
    StockAdjust(StockAdjust),
    StockCount(StockCount),
    StockShrink(StockShrink),
    StockTransfer(StockTransfer),
    StockTransferReceive(StockTransferReceive),
    StockReserve(StockReserve),
    StockCapture(StockCapture),
    StockRelease(StockRelease),
}

/// Who asks, for the audit log and for idempotency.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Context {
    /// Id of the key, or name of the part of the house: no two callers have the same.
    pub actor: String,
    /// Why, if the caller said so.
    pub reason: Option<String>,
    /// The request.
    pub request_id: String,
    /// The caller's key of this command: a repeat with the same key gets the first answer.
    pub idempotency_key: Option<String>,
    /// The version that the record must have for the command to be done; any where none is given.
    pub if_version: Option<i64>,
}

/// What a command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// A new record.
    Created,
    /// A change of a record.
    Updated,
    /// Nothing: the record was so already, or the update was older than it.
    Unchanged,
}

/// The answer to a command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Done {
    /// Our id of the record.
    pub id: Uuid,
    /// What happened.
    pub effect: Effect,
    /// Whether this is the stored answer to an earlier command with the same idempotency key.
    pub repeated: bool,
    /// The record's version after the command.
    pub row_version: i64,
    /// What an action found or made, such as a balance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}
