//! "The Complete Journey" by 84.51° / dunnhumby: its parquet files as commands.
//!
//! Facts of the data that the mapping rests on: a basket has one household, one store and one time; a product occurs once in
//! a basket; `sales_value` is what the retailer received, so the shelf price of a line is `sales_value + retail_disc +
//! coupon_match_disc`, and `coupon_disc` (a manufacturer's coupon) is a tender, not a discount. Times behave as UTC. Some lines name products that
//! the product table lacks: they get a product without a category. A line is one SKU, for the data knows no variants.

use anyhow::{Context, Result, bail};
use engine_duckdb::files::{Cell, Files};
use jiff::{SignedDuration, Timestamp};
use model::{Decimal, IdentityKind};
use oltp::command::{
    Command, ConsentValue, IdentityValue, OrderLineValue, PaymentValue, PutMember, PutOrder, PutProduct, PutSku,
    PutStore,
};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The system that these receipts come from.
pub const SOURCE: &str = "completejourney";

/// The files that are read.
const FILES: [&str; 3] = ["transactions.parquet", "products.parquet", "demographics.parquet"];

/// Time zones of the demo's members; the data has none.
const TIMEZONES: [&str; 6] =
    ["America/New_York", "America/Los_Angeles", "Europe/Berlin", "Asia/Shanghai", "Asia/Tokyo", "UTC"];

/// How to read it.
#[derive(Clone, Copy, Debug, Default)]
pub struct JourneyOptions {
    /// Weeks to move all dates by.
    pub shift_weeks: i64,
    /// Whether members get what the data lacks and a demo needs: an e-mail address under example.com, a time zone, consents.
    pub contacts: bool,
}

/// What a command costs the store: progress is counted in it, for the time left to be true. A basket costs about as much as its
/// lines, and each line about as much as a product.
pub(super) fn work(command: &Command) -> u64 {
    match command {
        Command::Order(order) => order.lines.len() as u64,
        _ => 1,
    }
}

/// An opened folder of files.
#[derive(Clone, Debug)]
pub struct Journey {
    folder: PathBuf,
    options: JourneyOptions,
    records: u64,
    work: u64,
}

/// The codes and numbers of a journey's records.
#[derive(Clone, Debug)]
pub struct Codes {
    /// Of stores.
    pub stores: BTreeSet<String>,
    /// Of products, and of the one SKU that each has.
    pub products: BTreeSet<String>,
    /// Of members.
    pub members: BTreeSet<String>,
    /// Of orders, all of the source `completejourney`.
    pub orders: BTreeSet<String>,
}

impl Journey {
    /// Opens a folder and counts what is in it.
    ///
    /// # Errors
    /// When a file is missing or cannot be read.
    pub fn open(folder: &Path, options: JourneyOptions) -> Result<Self> {
        let folder = folder.canonicalize().with_context(|| format!("there is no folder {}", folder.display()))?;
        for file in FILES {
            if !folder.join(file).is_file() {
                bail!("{} has no {file}", folder.display());
            }
        }
        let mut journey = Self { folder, options, records: 0, work: 0 };
        let sql = format!(
            "select count(distinct store_id) + count(distinct household_id)
                + 2 * (select count(*) from ({})), count(distinct basket_id), count(*) from {}",
            journey.products(),
            journey.file("transactions")
        );
        Files::open()?.for_each(&sql, |row| {
            let [records, baskets, lines] = [0, 1, 2].map(|column| row[column].int().unsigned_abs());
            journey.records = records + baskets;
            journey.work = records + lines;
            false
        })?;
        Ok(journey)
    }

    /// Number of commands that it makes.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// The codes and numbers of all that it makes.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn codes(&self) -> Result<Codes> {
        let (files, baskets) = (Files::open()?, self.file("transactions"));
        let column = |sql: &str| {
            let mut codes = BTreeSet::new();
            files.for_each(sql, |row| {
                codes.insert(row[0].text().unwrap_or_default().to_owned());
                true
            })?;
            anyhow::Ok(codes)
        };
        let distinct = |column: &str| format!("select distinct cast({column} as varchar) from {baskets}");
        Ok(Codes {
            stores: column(&distinct("store_id"))?,
            products: column(&format!("select cast(product_id as varchar) from ({})", self.products()))?,
            members: column(&distinct("household_id"))?
                .iter()
                .filter_map(|id| id.parse().ok())
                .map(member_no)
                .collect(),
            orders: column(&distinct("basket_id"))?,
        })
    }

    /// What all commands cost.
    pub(super) const fn work(&self) -> u64 {
        self.work
    }

    /// Weeks that move the last basket to the day before a time, at most.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn weeks_until(folder: &Path, now: Timestamp) -> Result<i64> {
        let journey = Self::open(folder, JourneyOptions::default())?;
        let mut last = 0;
        let sql = format!("select max(transaction_timestamp) from {}", journey.file("transactions"));
        Files::open()?.for_each(&sql, |row| {
            last = row[0].int();
            false
        })?;
        let week = 7 * 24 * 3_600 * 1_000_000;
        Ok((now.as_microsecond() - 24 * 3_600 * 1_000_000 - last).div_euclid(week))
    }

    /// What tells this import from another, for resuming: other files or other options make other commands.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let bytes = FILES.map(|file| std::fs::metadata(self.folder.join(file)).map_or(0, |file| file.len()));
        format!(
            "{SOURCE}:{}:{bytes:?}:{}:{}:{}",
            self.folder.display(),
            self.records,
            self.options.shift_weeks,
            self.options.contacts
        )
    }

    /// Gives all commands in a fixed order: stores, products, SKUs, members, then baskets by time. Stops when told to.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn for_each(&self, mut take: impl FnMut(Command) -> bool) -> Result<()> {
        let files = Files::open()?;
        let mut go_on = true;
        let transactions = self.file("transactions");
        files.for_each(&format!("select distinct store_id from {transactions} order by 1"), |row| {
            go_on = take(Command::Store(store(row)));
            go_on
        })?;
        for make in [product as fn(&[Cell]) -> Command, sku] {
            if go_on {
                files.for_each(&format!("select * from ({}) order by product_id", self.products()), |row| {
                    go_on = take(make(row));
                    go_on
                })?;
            }
        }
        if go_on {
            files.for_each(&self.households(), |row| {
                go_on = take(Command::Member(self.member(row)));
                go_on
            })?;
        }
        if go_on { self.baskets(&files, take) } else { Ok(()) }
    }

    fn baskets(&self, files: &Files, mut take: impl FnMut(Command) -> bool) -> Result<()> {
        let sql = format!(
            "select basket_id, household_id, store_id, transaction_timestamp, product_id, quantity,
                cast(round(sales_value * 100) as bigint), cast(round(retail_disc * 100) as bigint),
                cast(round(coupon_match_disc * 100) as bigint), cast(round(coupon_disc * 100) as bigint)
             from {} order by transaction_timestamp, basket_id, product_id",
            self.file("transactions")
        );
        let (mut basket, mut id, mut coupons, mut go_on) = (None, i64::MIN, 0, true);
        files.for_each(&sql, |row| {
            if row[0].int() != id
                && let Some(done) = basket.replace(self.receipt(row))
            {
                go_on = take(Command::Order(with_payments(done, std::mem::take(&mut coupons))));
            }
            id = row[0].int();
            coupons += row[9].int();
            if let Some(order) = &mut basket {
                add_line(order, row);
            }
            go_on
        })?;
        if let (Some(done), true) = (basket, go_on) {
            take(Command::Order(with_payments(done, coupons)));
        }
        Ok(())
    }

    fn file(&self, name: &str) -> String {
        format!(
            "read_parquet('{}')",
            self.folder.join(name).with_extension("parquet").display().to_string().replace('\'', "''")
        )
    }

    /// Products of the table, and those that only the baskets know.
    fn products(&self) -> String {
        format!(
            "select product_id, department, brand, product_category, product_type, package_size from {products}
             union all
             select distinct product_id, null, null, null, null, null from {transactions}
             where product_id not in (select product_id from {products})",
            products = self.file("products"),
            transactions = self.file("transactions")
        )
    }

    fn households(&self) -> String {
        format!(
            "select t.household_id, t.first, d.age, d.income, d.home_ownership, d.marital_status, d.household_size, d.kids_count
             from (select household_id, min(transaction_timestamp) as first from {} group by 1) t
             left join {} d using (household_id) order by 1",
            self.file("transactions"),
            self.file("demographics")
        )
    }

    fn time(&self, cell: &Cell) -> Timestamp {
        let read = Timestamp::from_microsecond(cell.int()).unwrap_or_default();
        let shift = SignedDuration::from_hours(self.options.shift_weeks.saturating_mul(7 * 24));
        read.checked_add(shift).unwrap_or(read)
    }

    fn member(&self, row: &[Cell]) -> PutMember {
        let id = row[0].int();
        let names = ["age", "income", "home_ownership", "marital_status", "household_size", "kids_count"];
        let attributes = names.iter().zip(&row[2..]);
        let attributes =
            attributes.filter_map(|(name, cell)| Some(((*name).to_owned(), cell.text()?.into()))).collect();
        let mut member = PutMember {
            member_no: member_no(id),
            enrolled_at: Some(self.time(&row[1])),
            enrol_channel: Some("store".to_owned()),
            identities: vec![IdentityValue { kind: IdentityKind::Card, value: format!("hh-{id}") }.into()],
            attributes,
            ..PutMember::default()
        };
        if self.options.contacts {
            let pick = usize::try_from(id.unsigned_abs() % 6).unwrap_or(0);
            member.timezone = Some(TIMEZONES[pick].to_owned());
            member.identities.push(IdentityValue { kind: IdentityKind::Email, value: email(id) }.into());
            member.consents.push(ConsentValue {
                purpose: "marketing".to_owned(),
                channel: "email".to_owned(),
                status: if id % 4 == 0 { "denied" } else { "granted" }.to_owned(),
                status_at: member.enrolled_at,
                expires_at: None,
                source: Some("demo".to_owned()),
                ..ConsentValue::default()
            });
        }
        member
    }

    fn receipt(&self, row: &[Cell]) -> PutOrder {
        PutOrder {
            source: SOURCE.to_owned(),
            order_no: row[0].int().to_string(),
            channel: "pos".to_owned(),
            store_code: Some(row[2].int().to_string()),
            member_no: Some(member_no(row[1].int())),
            placed_at: self.time(&row[3]),
            currency: "USD".to_owned(),
            ..PutOrder::default()
        }
    }
}

/// A household's number as a member.
#[must_use]
pub fn member_no(household: i64) -> String {
    format!("household-{household}")
}

/// A household's e-mail address in the demo.
#[must_use]
pub fn email(household: i64) -> String {
    format!("household-{household}@example.com")
}

fn store(row: &[Cell]) -> PutStore {
    let id = row[0].int();
    PutStore {
        store_code: id.to_string(),
        name: format!("Store {id}"),
        timezone: Some("UTC".to_owned()),
        ..PutStore::default()
    }
}

fn product(row: &[Cell]) -> Command {
    let id = row[0].int();
    let text = |index: usize| row[index].text().map(str::to_owned);
    let title = match (text(4), text(5)) {
        (Some(kind), Some(size)) => format!("{kind}, {size}"),
        (Some(kind), None) => kind,
        _ => format!("Product {id}"),
    };
    Command::Product(PutProduct {
        product_code: id.to_string(),
        title,
        brand: text(2),
        department: text(1),
        category: text(3),
        ..PutProduct::default()
    })
}

fn sku(row: &[Cell]) -> Command {
    let code = row[0].int().to_string();
    Command::Sku(PutSku { sku_code: code.clone(), product_code: code, ..PutSku::default() })
}

fn add_line(order: &mut PutOrder, row: &[Cell]) {
    let discount = row[7].int() + row[8].int();
    order.lines.push(OrderLineValue {
        line_no: i32::try_from(order.lines.len() + 1).unwrap_or(i32::MAX),
        sku_code: row[4].int().to_string(),
        quantity: Decimal::from(row[5].int()),
        gross_minor: Some(row[6].int() + discount),
        discount_minor: discount,
        ..OrderLineValue::default()
    });
}

/// Adds the tenders: the manufacturer's coupons, and a card for the rest.
fn with_payments(mut order: PutOrder, coupons: i64) -> PutOrder {
    let total: i64 = order.lines.iter().map(|line| line.gross_minor.unwrap_or(0) - line.discount_minor).sum();
    let coupons = coupons.min(total);
    for (tender, amount) in [("card", total - coupons), ("other", coupons)] {
        if amount > 0 {
            order.payments.push(PaymentValue {
                payment_no: i32::try_from(order.payments.len() + 1).unwrap_or(i32::MAX),
                tender_type: tender.to_owned(),
                amount_minor: amount,
                ..PaymentValue::default()
            });
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_maps_to_the_cent() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/completejourney");
        let journey = Journey::open(&folder, JourneyOptions::default()).unwrap();
        let (mut commands, mut lines, mut net, mut paid) = (0, 0, 0, 0);
        journey
            .for_each(|command| {
                commands += 1;
                if let Command::Order(order) = command {
                    lines += order.lines.len();
                    net += order.lines.iter().map(|l| l.gross_minor.unwrap() - l.discount_minor).sum::<i64>();
                    paid += order.payments.iter().map(|p| p.amount_minor).sum::<i64>();
                }
                true
            })
            .unwrap();
        let mut expected = (0, 0);
        let sql = format!(
            "select count(*), cast(sum(round(sales_value * 100)) as bigint) from {}",
            journey.file("transactions")
        );
        Files::open()
            .unwrap()
            .for_each(&sql, |row| {
                expected = (row[0].int(), row[1].int());
                true
            })
            .unwrap();
        assert_eq!(commands, journey.records());
        assert_eq!((i64::try_from(lines).unwrap(), net), expected);
        assert_eq!(paid, net);
    }
}
