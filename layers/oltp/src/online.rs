//! Migrations beside traffic: what runs outside a transaction, statement by statement, and the rules for all that comes to tables
//! which hold data already (in the tests below).

/// First line of a migration that may not run in a transaction, since it builds indexes while others write.
const CONCURRENTLY: &str = "-- concurrently";

/// Whether a migration runs outside a transaction. Then each of its statements must be harmless when it is run again: the migration
/// may end between any two of them.
pub(crate) fn is_concurrent(sql: &str) -> bool {
    sql.lines().next().is_some_and(|line| line.trim() == CONCURRENTLY)
}

/// The statements of a script, without comments.
pub(crate) fn statements(sql: &str) -> Vec<String> {
    let (mut all, mut current, mut rest) = (Vec::new(), String::new(), sql);
    while let Some(next) = rest.chars().next() {
        let taken = if rest.starts_with("--") {
            let length = rest.find('\n').unwrap_or(rest.len());
            rest = &rest[length..];
            continue;
        } else if next == '\'' {
            quoted(rest, "'")
        } else if let Some(tag) = dollar_tag(rest) {
            quoted(rest, tag)
        } else {
            next.len_utf8()
        };
        if next == ';' {
            all.push(std::mem::take(&mut current));
        } else {
            current.push_str(&rest[..taken]);
        }
        rest = &rest[taken..];
    }
    all.push(current);
    let trimmed = all.iter().map(|statement| statement.trim()).filter(|statement| !statement.is_empty());
    trimmed.map(str::to_owned).collect()
}

/// Length of a text that begins and ends with a mark. A doubled quote ends one text and begins the next, which is the same here.
fn quoted(text: &str, mark: &str) -> usize {
    text[mark.len()..].find(mark).map_or(text.len(), |end| end + 2 * mark.len())
}

/// The tag that a dollar-quoted body begins with, such as `$$` or `$body$`.
fn dollar_tag(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('$')?;
    let length = inside.find('$')?;
    let named = inside[..length].chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (named && !inside.starts_with(|c: char| c.is_ascii_digit())).then(|| &text[..length + 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::MIGRATIONS;
    use std::collections::BTreeSet;

    /// What may stand in the way of traffic for once, and why: migration, begin of the statement (empty for all of it), reason. The
    /// first five make a new store. Those that follow here turn that first model into the whole one: they came before any store was
    /// in service, and are applied to empty tables or while nobody serves.
    const ALLOWED: &[(&str, &str, &str)] = &[
        ("0007_catalogue", "", "columns, checks and indexes of stores, products and SKUs: a few thousand rows"),
        ("0011_partitions", "", "the points ledger becomes a partitioned table: before any store was in service"),
        ("0012_order_life", "", "orders get what a whole life needs: before any store was in service"),
        ("0013_return_life", "", "returns get what a whole life needs: before any store was in service"),
        ("0014_points", "", "the accounts of the house become many: before any store was in service"),
        (
            "0015_members",
            "",
            "members get their identities' strength and consents their history: before any store was in service",
        ),
        ("0016_tiers", "", "members get tiers: before any store was in service"),
        ("0017_merges", "", "members get merges and erasure: before any store was in service"),
        ("0022_keys", "", "lists and the audit log get their indexes: before any store was in service"),
    ];

    /// The last migration that only new stores run.
    const FIRST_SCHEMA: i32 = 5;

    /// What is wrong with a statement on a table that may be large and busy.
    fn fault(statement: &str, fresh: &BTreeSet<String>) -> Option<&'static str> {
        let text = statement.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        let words: Vec<&str> = text.split(' ').collect();
        let on = |word: &str| {
            let at = words.iter().position(|found| *found == word)?;
            let named = words[at + 1..].iter().find(|word| !["only", "if", "exists"].contains(*word))?;
            Some(named.split('(').next().unwrap_or_default().trim_start_matches("crm.").to_owned())
        };
        let old = |table: Option<String>| table.is_some_and(|table| !fresh.contains(&table));
        let has = |what: &str| text.contains(what);
        match words[0] {
            "create" if has(" index ") && !has("concurrently") && old(on("on")) => {
                Some("create index blocks writes while it is built: use `concurrently` in a migration of its own")
            }
            "reindex" if !has("concurrently") => Some("reindex blocks writes: use `concurrently`"),
            "drop" if has("drop index") && !has("concurrently") => {
                Some("drop index waits for all readers: use `concurrently`")
            }
            "cluster" | "truncate" => Some("it locks the table against everybody"),
            "vacuum" if has("full") => Some("vacuum full locks the table against everybody"),
            "lock" if old(on("table")) => Some("lock table: leave locks to the statements"),
            "update" if old(on("update")) => {
                Some("a back-fill in one transaction locks each row until its end: do it in slices")
            }
            "delete" if old(on("from")) => {
                Some("a deletion in one transaction locks each row until its end: do it in slices")
            }
            "alter" if has("alter table") && old(on("table")) => alteration(&text),
            _ => None,
        }
    }

    fn alteration(text: &str) -> Option<&'static str> {
        let has = |what: &str| text.contains(what);
        let volatile = ["gen_random_uuid(", "uuid7(", "random(", "clock_timestamp(", "nextval(", "timeofday("];
        let adds = text.contains(" add column ");
        if has(" type ") && has(" alter ") {
            Some("a new type rewrites the table: add a column beside it, fill it in slices")
        } else if adds && has(" default ") && volatile.iter().any(|function| has(function)) {
            Some("a volatile default rewrites the table: add the column without it, then set the default")
        } else if adds && (has(" stored") || has(" generated ") || has("serial")) {
            Some("a generated column rewrites the table")
        } else if has(" set not null") {
            Some("set not null reads the table under a lock: add a check `not valid`, validate it, then set it")
        } else if adds && has(" not null") && !has(" default ") {
            Some("a column without a default cannot be not null where there are rows")
        } else if adds
            && (has(" references ") || has(" check ") || has(" check(") || has(" unique") || has(" primary key"))
        {
            Some("a constraint that comes with its column is checked under a lock: add it by itself, `not valid`")
        } else if has(" add ") && (has(" check ") || has(" check(") || has(" foreign key")) && !has("not valid") {
            Some("a constraint reads the table under a lock: add it `not valid`, then validate it")
        } else if has(" add ")
            && !adds
            && (has(" unique") || has(" primary key") || has(" exclude"))
            && !has("using index")
        {
            Some(
                "a unique constraint builds its index under a lock: build it `concurrently`, then add it `using index`",
            )
        } else if has(" set tablespace") || has(" set logged") || has(" set unlogged") || has(" set access method") {
            Some("it rewrites the table")
        } else if has(" attach partition") {
            Some("attaching reads the partition under a lock, unless a check says the same")
        } else {
            None
        }
    }

    fn created(statement: &str) -> Option<String> {
        let text = statement.to_lowercase();
        let mut words = text.split_whitespace();
        let is_table = words.next() == Some("create") && words.next() == Some("table");
        let name = words.find(|word| !["if", "not", "exists"].contains(word))?;
        is_table.then(|| name.split('(').next().unwrap_or_default().trim_start_matches("crm.").to_owned())
    }

    fn faults(sql: &str) -> Vec<(String, &'static str)> {
        let mut fresh = BTreeSet::new();
        let mut found = Vec::new();
        for statement in statements(sql) {
            fresh.extend(created(&statement));
            if let Some(fault) = fault(&statement, &fresh) {
                found.push((statement, fault));
            }
        }
        found
    }

    #[test]
    fn no_migration_stands_in_the_way_of_traffic() {
        let mut wrong = Vec::new();
        for migration in MIGRATIONS.iter().filter(|migration| migration.version > FIRST_SCHEMA) {
            let file = format!("{:04}_{}", migration.version, migration.name);
            for (statement, fault) in faults(migration.sql) {
                let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
                if !ALLOWED.iter().any(|(of, begin, _)| *of == file && line.starts_with(begin)) {
                    wrong.push(format!("{file}: {}\n    {fault}", line.chars().take(100).collect::<String>()));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn concurrent_migrations_may_be_run_again() {
        let harmless = [
            "create index concurrently if not exists ",
            "create unique index concurrently if not exists ",
            "drop index concurrently if exists ",
            "alter table ",
        ];
        for migration in MIGRATIONS.iter().filter(|migration| is_concurrent(migration.sql)) {
            for statement in statements(migration.sql) {
                let again = harmless.iter().any(|begin| statement.to_lowercase().starts_with(begin));
                assert!(again, "{}: `{statement}` cannot be run twice", migration.name);
            }
        }
    }

    #[test]
    fn the_rules_see_what_locks() {
        for (sql, wrong) in [
            ("create index on crm.sales_order (status)", true),
            ("create index concurrently if not exists o on crm.sales_order (status)", false),
            (
                "create table crm.fresh (id int); create index on crm.fresh (id); alter table crm.fresh add check (id > 0)",
                false,
            ),
            ("create unique index x on only sales_order (order_no)", true),
            ("alter table crm.member alter column tier_code type int", true),
            ("alter table member add column points bigint not null default 0", false),
            ("alter table member add column id2 uuid default gen_random_uuid()", true),
            ("alter table member add column at timestamptz default now()", false),
            ("alter table member add column n text not null", true),
            ("alter table member add constraint c check (tier_code <> '') not valid", false),
            ("alter table member add constraint c check (tier_code <> '')", true),
            ("alter table member validate constraint c", false),
            ("alter table member alter tier_code set not null", true),
            ("alter table member add unique (tier_code)", true),
            ("alter table member add constraint u unique using index u", false),
            ("alter table member replica identity full", false),
            ("update crm.sales_order set status = 'paid'", true),
            (
                "create function crm.f() returns int language plpgsql as $$ begin update crm.member set a = 1; end $$",
                false,
            ),
            ("insert into crm.points_account values (1)", false),
            ("truncate crm.member", true),
        ] {
            assert_eq!(!faults(sql).is_empty(), wrong, "{sql}");
        }
    }

    #[test]
    fn scripts_fall_into_statements() {
        let sql = "-- one; two\nselect 'a;''b'; create function f() as $x$ a; b $$ c; $x$;\n\n select 1 -- end;";
        let expected = ["select 'a;''b'", "create function f() as $x$ a; b $$ c; $x$", "select 1"];
        assert_eq!(statements(sql), expected);
        assert_eq!(statements("-- nothing"), Vec::<String>::new());
        assert!(is_concurrent("-- concurrently\nselect 1") && !is_concurrent("select 1"));
    }
}
