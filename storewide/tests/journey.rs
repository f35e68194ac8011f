//! What was imported against what is in the files, row by row; bare DuckDB reads the files.

use crate::program::Program;
use engine_duckdb::files::{Cell, Files};
use std::path::Path;

/// A question to the serving layer and the same one to the files. In it, `{transactions}` and `{products}` are the files.
struct Same {
    what: &'static str,
    served: &'static str,
    filed: &'static str,
}

const SAME: [Same; 7] = [
    Same {
        what: "baskets",
        served: "select o.order_no, m.member_no, s.store_code, cast(epoch_us(o.placed_at) as varchar), count(*),
                cast(sum(l.quantity) as bigint), cast(o.units as bigint), cast(sum(l.net_minor) as bigint), o.net_minor
            from orders o join order_lines l on l.order_id = o.order_id join members m on m.member_id = o.member_id
                join stores s on s.store_id = o.store_id
            where o.source = 'completejourney' and l.member_id = o.member_id and not l.voided
            group by 1, 2, 3, 4, o.units, o.net_minor",
        filed: "select cast(basket_id as varchar), 'household-' || household_id, cast(store_id as varchar),
                cast(epoch_us(transaction_timestamp) as varchar), count(*), cast(sum(quantity) as bigint),
                cast(sum(quantity) as bigint), cast(sum(round(sales_value * 100)) as bigint),
                cast(sum(round(sales_value * 100)) as bigint)
            from {transactions} group by 1, 2, 3, 4",
    },
    Same {
        what: "lines",
        served: "select o.order_no, p.product_code, k.sku_code, cast(l.quantity as bigint), l.net_minor, l.discount_minor
            from order_lines l join orders o on o.order_id = l.order_id join products p on p.product_id = l.product_id
                join skus k on k.sku_id = l.sku_id",
        filed: "select cast(basket_id as varchar), cast(product_id as varchar), cast(product_id as varchar),
                cast(quantity as bigint), cast(round(sales_value * 100) as bigint),
                cast(round(retail_disc * 100) as bigint) + cast(round(coupon_match_disc * 100) as bigint)
            from {transactions}",
    },
    Same {
        what: "payments",
        served: "select o.order_no, cast(sum(p.amount_minor) as bigint)
            from payments p join orders o on o.order_id = p.order_id group by 1",
        filed: "select cast(basket_id as varchar), cast(sum(round(sales_value * 100)) as bigint) from {transactions} group by 1
            having sum(round(sales_value * 100)) > 0",
    },
    Same {
        what: "products, with those that only the baskets know",
        served: "select p.product_code, coalesce(p.department, ''), coalesce(p.brand, ''), coalesce(p.category, ''), count(*)
            from products p join skus k on k.product_id = p.product_id group by 1, 2, 3, 4",
        filed: "select cast(product_id as varchar), coalesce(department, ''), coalesce(brand, ''),
                coalesce(product_category, ''), 1 from {products}
            union all
            select distinct cast(product_id as varchar), '', '', '', 1 from {transactions}
            where product_id not in (select product_id from {products})",
    },
    Same {
        what: "totals of store and month",
        served: "select s.store_code, strftime(o.placed_at, '%Y-%m'), count(*), count(distinct o.order_id),
                count(distinct o.member_id), cast(sum(l.net_minor) as bigint)
            from order_lines l join orders o on o.order_id = l.order_id join stores s on s.store_id = o.store_id group by 1, 2",
        filed: "select cast(store_id as varchar), strftime(transaction_timestamp, '%Y-%m'), count(*),
                count(distinct basket_id), count(distinct household_id), cast(sum(round(sales_value * 100)) as bigint)
            from {transactions} group by 1, 2",
    },
    Same {
        what: "points of members: a point for each whole dollar of a basket, in the account and in the ledger",
        served: "select m.member_no, a.balance, cast(coalesce(sum(l.points), 0) as bigint)
            from members m join points_accounts a on a.member_id = m.member_id
                left join points_ledger l on l.account_id = a.account_id
            group by 1, 2",
        filed: "select member_no, cast(sum(points) as bigint), cast(sum(points) as bigint)
            from (select 'household-' || household_id as member_no,
                    floor(sum(round(sales_value * 100)) / 100) as points
                from {transactions} group by household_id, basket_id)
            group by 1",
    },
    Same {
        what: "orders and units of members, as features",
        served: "select m.member_no,
                cast(max(f.number) filter (where f.feature = 'orders_lifetime') as bigint),
                cast(max(f.number) filter (where f.feature = 'units_lifetime') as bigint),
                cast(max(f.number) filter (where f.feature = 'net_spend_minor_lifetime') as bigint)
            from features f join members m on f.person = 'm:' || cast(m.member_id as varchar) group by 1",
        filed: "select 'household-' || household_id, count(distinct basket_id), cast(sum(quantity) as bigint),
                cast(sum(round(sales_value * 100)) as bigint)
            from {transactions} group by 1",
    },
];

/// Rows that no import may make.
const NONE: [(&str, &str); 3] = [
    ("changes of what was there", "select count(*) from orders where row_version <> 1"),
    (
        "unbalanced entries",
        "select count(*) from (select entry_id from points_ledger group by 1 having sum(points) <> 0)",
    ),
    ("returns", "select count(*) from returns"),
];

/// Most rows that are asked for at once.
const ROWS_MAX: u32 = 100_000;

/// Compares all that is served at a position with the files.
pub async fn compare(program: &Program, folder: &Path, position: &str) {
    let client = program.client();
    let wait = std::time::Instant::now();
    while client.number("select count(*) from orders", Some(position)).await.is_err() {
        assert!(wait.elapsed().as_secs() < 240, "not served:\n{}", program.log_tail());
    }
    for Same { what, served, filed } in &SAME {
        let answer = client.sql(served, None, ROWS_MAX).await.unwrap();
        assert!(!answer.truncated, "too many {what} for one answer");
        let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let served = answer.rows.iter().map(|row| row.iter().map(text).collect()).collect();
        equal(what, served, rows(folder, filed));
    }
    for (what, query) in NONE {
        assert_eq!(client.number(query, None).await.unwrap(), 0, "{what}");
    }
    let audit = program.command(&["audit", "--json"]);
    assert_eq!((&audit["missing"], &audit["extra"], &audit["different"]), (&0.into(), &0.into(), &0.into()), "{audit}");
}

fn equal(what: &str, mut served: Vec<Vec<String>>, mut filed: Vec<Vec<String>>) {
    served.sort();
    filed.sort();
    assert!(!filed.is_empty(), "the files have no {what}");
    let unequal = served.iter().zip(&filed).find(|(served, filed)| served != filed);
    assert_eq!(unequal, None, "{what}: served and filed ({} and {} rows)", served.len(), filed.len());
    assert_eq!(served.len(), filed.len(), "{what}");
}

/// Rows of the files.
pub fn rows(folder: &Path, query: &str) -> Vec<Vec<String>> {
    let file = |name: &str| {
        let path = folder.join(format!("{name}.parquet")).display().to_string();
        format!("read_parquet('{}')", path.replace('\'', "''"))
    };
    let query = query.replace("{transactions}", &file("transactions")).replace("{products}", &file("products"));
    let query = query.replace("{demographics}", &file("demographics"));
    let mut rows = Vec::new();
    let text = |cell: &Cell| cell.text().map_or_else(|| cell.int().to_string(), str::to_owned);
    Files::open()
        .unwrap()
        .for_each(&query, |row| {
            rows.push(row.iter().map(text).collect());
            true
        })
        .unwrap();
    rows
}
