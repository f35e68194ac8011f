//! Definitions of coupons: what their codes give, to whom and for what, and how often.

use super::{Asked, Written, write};
use crate::check::{
    AMOUNT_MAX, CODE_MAX, Checked, TITLE_MAX, WORD_MAX, count, currency, number, one_of, optional, past, quantity,
    text, window,
};
use crate::error::OltpError;
use model::{Decimal, Timestamp, Tokeniser};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Statuses of definitions.
pub(crate) const DEFINITION_STATUSES: &[&str] = &["draft", "active", "paused", "ended"];
/// Channels of sales.
pub(crate) const CHANNELS: &[&str] = &["pos", "ecom", "marketplace"];
/// Most entries of a list of codes.
const LIST_MAX: usize = 1000;
const PERCENT_BP_MAX: i32 = 10_000;
const DAYS_MAX: i32 = 36_500;

/// Goods, named by any of these codes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GoodsValue {
    /// Codes of SKUs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skus: Vec<String>,
    /// Codes of products.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<String>,
    /// Categories.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Brands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub brands: Vec<String>,
}

/// A definition of coupons, whole. What has ended stays ended. A change holds for codes that were issued before, but for `kind`, which
/// stays, and `validity_days` and `uses_per_code`, which each code keeps as they were when it was issued.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutCouponDefinition {
    /// Your code of the definition; identifies it.
    #[schema(example = "spring")]
    pub definition_code: String,
    /// Title.
    pub title: String,
    /// unique (default): secret codes, generated or brought along; public: chosen codes that everybody may know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// draft, active (default), paused or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// percent of the goods, amount off the goods, or (percent of the) shipping.
    #[schema(example = "percent")]
    pub discount_type: String,
    /// Percentage in basis points, 1 to 10,000 (all); for percent, and for shipping, where it is all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent_bp: Option<i32>,
    /// Amount off in minor units; for amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_minor: Option<i64>,
    /// ISO 4217 code of all amounts here. Carts of other currencies are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Most that one use gives, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_discount_minor: Option<i64>,
    /// Least that the goods must cost before any coupon, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_spend_minor: Option<i64>,
    /// Least pieces of the goods, a decimal text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "2")]
    pub min_quantity: Option<Decimal>,
    /// Codes are taken from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub valid_from: Option<Timestamp>,
    /// Codes are taken before then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub valid_to: Option<Timestamp>,
    /// Days from issue after which a code expires: 1 to 36,500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validity_days: Option<i32>,
    /// Tiers whose members may use it; all when empty.
    #[serde(default)]
    pub tier_codes: Vec<String>,
    /// Whether only known members may use it.
    #[serde(default)]
    pub members_only: bool,
    /// Whether the member must not have bought before.
    #[serde(default)]
    pub first_order_only: bool,
    /// Goods that it is for; all when empty.
    #[serde(default)]
    pub include: GoodsValue,
    /// Goods that it is not for, even if they are included.
    #[serde(default)]
    pub exclude: GoodsValue,
    /// Stores where it is taken; all when empty.
    #[serde(default)]
    pub store_codes: Vec<String>,
    /// Channels where it is taken: pos, ecom, marketplace; all when empty.
    #[serde(default)]
    pub channels: Vec<String>,
    /// free (default): with other codes; group: one code of its group at a time; exclusive: alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stacking: Option<String>,
    /// Name of the group; for group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack_group: Option<String>,
    /// Codes are applied in ascending order of this, then of the definition's code, then of their own: 1 to 10,000; 100 when absent.
    /// Where two do not go together, the first stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// How often one code can be used. When absent, once if it is unique, without end if it is public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_per_code: Option<i32>,
    /// How often one member can use codes of the definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_member_limit: Option<i32>,
    /// How often codes of the definition can be used in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_limit: Option<i64>,
    /// Most that all uses give together, in minor units. It is never overspent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_minor: Option<i64>,
    /// Whether a use comes back when its order is cancelled or wholly returned: yes when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_on_return: Option<bool>,
    /// When your system changed it; an older update than the stored one changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub source_updated_at: Option<Timestamp>,
}

impl Asked for PutCouponDefinition {
    const NOUN: &'static str = "coupon_definition";
    const PATH: &'static str = "coupon-definitions";
    const ABOUT: &'static str = "Create or update a definition of coupons";

    fn example() -> Value {
        json!({"definition_code": "spring", "title": "Spring: ten per cent off coffee", "kind": "public", "discount_type": "percent",
            "percent_bp": 1000, "currency": "USD", "max_discount_minor": 2000, "include": {"products": ["1039126"]},
            "per_member_limit": 5, "budget_minor": 1_000_000})
    }

    fn check(&self, now: Timestamp) -> Checked {
        text("/definition_code", &self.definition_code, CODE_MAX)?;
        text("/title", &self.title, TITLE_MAX)?;
        one_of("/kind", self.kind.as_deref(), &["unique", "public"])?;
        one_of("/status", self.status.as_deref(), DEFINITION_STATUSES)?;
        self.check_discount()?;
        self.check_goods()?;
        self.check_audience()?;
        self.check_limits()?;
        window("/valid_from", self.valid_from, "/valid_to", self.valid_to)?;
        past("/source_updated_at", self.source_updated_at, now)
    }

    fn unique(&self) -> String {
        self.definition_code.clone()
    }

    fn write(&self, _: &Tokeniser, _: Timestamp) -> Written {
        let or = |value: &Option<String>, usual: &str| Some(value.clone().unwrap_or_else(|| usual.to_owned()));
        let kind = or(&self.kind, "unique");
        let unique = kind.as_deref() == Some("unique");
        write(&Self {
            status: or(&self.status, "active"),
            percent_bp: self.percent_bp.or((self.discount_type == "shipping").then_some(PERCENT_BP_MAX)),
            stacking: or(&self.stacking, "free"),
            priority: Some(self.priority.unwrap_or(100)),
            uses_per_code: self.uses_per_code.or(unique.then_some(1)),
            restore_on_return: Some(self.restore_on_return.unwrap_or(true)),
            kind,
            ..self.clone()
        })
    }
}

impl PutCouponDefinition {
    fn check_discount(&self) -> Checked {
        one_of("/discount_type", Some(&self.discount_type), &["percent", "amount", "shipping"])?;
        self.percent_bp.map_or(Ok(()), |bp| number("/percent_bp", bp, PERCENT_BP_MAX))?;
        let asked = |pointer, detail| Err(OltpError::invalid("oltp.missing", pointer, detail));
        match self.discount_type.as_str() {
            "percent" if self.percent_bp.is_none() => return asked("/percent_bp", "a percentage in basis points"),
            "amount" if self.amount_minor.is_none() => return asked("/amount_minor", "an amount in minor units"),
            "amount" if self.percent_bp.is_some() => return asked("/percent_bp", "an amount, and no percentage"),
            "percent" | "shipping" if self.amount_minor.is_some() => {
                return asked("/amount_minor", "a percentage, and no amount");
            }
            _ => {}
        }
        let amounts = [
            ("/amount_minor", self.amount_minor),
            ("/max_discount_minor", self.max_discount_minor),
            ("/min_spend_minor", self.min_spend_minor),
            ("/budget_minor", self.budget_minor),
        ];
        for (pointer, minor) in amounts {
            minor.map_or(Ok(()), |minor| positive(pointer, minor))?;
        }
        match &self.currency {
            Some(code) => currency(code),
            None if amounts.iter().any(|(_, minor)| minor.is_some()) => {
                asked("/currency", "the currency of the amounts")
            }
            None => Ok(()),
        }
    }

    fn check_goods(&self) -> Checked {
        for (name, goods) in [("include", &self.include), ("exclude", &self.exclude)] {
            codes(&format!("/{name}/skus"), &goods.skus, CODE_MAX)?;
            codes(&format!("/{name}/products"), &goods.products, CODE_MAX)?;
            codes(&format!("/{name}/categories"), &goods.categories, WORD_MAX)?;
            codes(&format!("/{name}/brands"), &goods.brands, WORD_MAX)?;
        }
        let Some(pieces) = self.min_quantity else { return Ok(()) };
        quantity("/min_quantity", pieces)?;
        if pieces.is_zero() {
            return Err(OltpError::invalid("oltp.out_of_range", "/min_quantity", "more than zero"));
        }
        Ok(())
    }

    fn check_audience(&self) -> Checked {
        codes("/tier_codes", &self.tier_codes, WORD_MAX)?;
        codes("/store_codes", &self.store_codes, CODE_MAX)?;
        count("/channels", self.channels.len(), 0, CHANNELS.len())?;
        for (i, channel) in self.channels.iter().enumerate() {
            one_of(&format!("/channels/{i}"), Some(channel), CHANNELS)?;
        }
        one_of("/stacking", self.stacking.as_deref(), &["free", "group", "exclusive"])?;
        optional("/stack_group", self.stack_group.as_deref(), WORD_MAX)?;
        if (self.stacking.as_deref() == Some("group")) != self.stack_group.is_some() {
            let detail = "with stacking `group`, and only with it, there is the name of a group";
            return Err(OltpError::invalid("oltp.missing", "/stack_group", detail));
        }
        Ok(())
    }

    fn check_limits(&self) -> Checked {
        self.validity_days.map_or(Ok(()), |days| number("/validity_days", days, DAYS_MAX))?;
        self.priority.map_or(Ok(()), |priority| number("/priority", priority, 10_000))?;
        self.uses_per_code.map_or(Ok(()), |uses| number("/uses_per_code", uses, i32::MAX))?;
        self.per_member_limit.map_or(Ok(()), |uses| number("/per_member_limit", uses, i32::MAX))?;
        self.global_limit.map_or(Ok(()), |uses| positive("/global_limit", uses))
    }
}

fn positive(pointer: &str, value: i64) -> Checked {
    if (1..=AMOUNT_MAX).contains(&value) {
        return Ok(());
    }
    Err(OltpError::invalid("oltp.out_of_range", pointer, format!("between 1 and {AMOUNT_MAX}")))
}

fn codes(pointer: &str, codes: &[String], max: usize) -> Checked {
    count(pointer, codes.len(), 0, LIST_MAX)?;
    codes.iter().enumerate().try_for_each(|(i, code)| text(&format!("{pointer}/{i}"), code, max))
}
