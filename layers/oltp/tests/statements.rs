use crate::shop::Shop;
use engine_postgres::Version;
use engine_postgres::testing::connect;

async fn all_statements_prepare(version: Version) {
    let shop = Shop::empty(version).await;
    let client = connect(&shop.pg).await.unwrap();
    for (name, sql) in oltp::statement::ALL {
        let prepared = client.prepare(sql).await;
        assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
    }
    // What the planner has not seen yet: the bodies of the functions, each called once.
    let mut functions = 0;
    let sql = "select p.proname, pg_get_function_identity_arguments(p.oid), p.oid::regprocedure::text,
            array(select format_type(t, null) from unnest(p.proargtypes) t)
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname = 'crm' and p.prorettype <> 'trigger'::regtype order by 1";
    for row in client.query(sql, &[]).await.unwrap() {
        let (name, types): (String, Vec<String>) = (row.get(0), row.get(3));
        let nulls: Vec<String> = types.iter().map(|kind| format!("null::{kind}")).collect();
        let prepared = client.prepare(&format!("select crm.{name}({})", nulls.join(", "))).await;
        assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
        functions += 1;
    }
    assert!(functions >= 25, "{functions} functions");
}

#[tokio::test]
async fn all_statements_prepare_on_the_systems_postgresql() {
    all_statements_prepare(Version::System).await;
}

#[tokio::test]
async fn all_statements_prepare_on_the_wheels_postgresql() {
    all_statements_prepare(Version::Wheel18).await;
}
