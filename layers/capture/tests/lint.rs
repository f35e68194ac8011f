use crate::rig::Rig;
use capture::{CaptureError, Fault};
use engine_postgres::Version;

/// Starts capture on a prepared store, which it has to refuse.
async fn refused(version: Version, prepare: &str) -> (Rig, Fault) {
    let mut rig = Rig::new(version).await;
    rig.sql.batch_execute("insert into crm.thing (id) values (1)").await.unwrap();
    rig.sql.batch_execute(prepare).await.unwrap();
    rig.start();
    let error = rig.failure().await;
    let text = error.to_string();
    let CaptureError::Lint(findings) = error else { panic!("{text}") };
    assert_eq!(findings.len(), 1, "{text}");
    assert!(text.contains("crm.thing") && text.contains(&findings[0].mend()), "{text}");
    (rig, findings[0].fault)
}

/// What capture refuses is what PostgreSQL refuses: it must not have published it already, and may not be told off in vain.
async fn refused_before(version: Version, prepare: &str, fault: Fault) {
    let (rig, found) = refused(version, prepare).await;
    assert_eq!(found, fault);
    let update = "update crm.thing set n = n + 1";
    rig.sql.batch_execute(update).await.expect("capture broke it");
    rig.sql.batch_execute("create publication proof for table crm.thing").await.unwrap();
    rig.sql.batch_execute(update).await.expect_err("capture was too careful");
}

/// As before, with a publication that was there already.
async fn refused_there(version: Version, prepare: &str, fault: Fault) {
    let (rig, found) = refused(version, prepare).await;
    assert_eq!(found, fault);
    let update = "update crm.thing set n = n + 1";
    rig.sql.batch_execute(update).await.expect_err("capture was too careful");
    rig.sql.batch_execute("drop publication storewide").await.unwrap();
    rig.sql.batch_execute(update).await.unwrap();
}

/// Capture must take what PostgreSQL takes.
async fn taken(version: Version, prepare: &str) {
    let mut rig = Rig::new(version).await;
    rig.sql.batch_execute("insert into crm.thing (id) values (1)").await.unwrap();
    rig.sql.batch_execute(prepare).await.unwrap();
    rig.start();
    rig.caught_up().await;
    rig.sql.batch_execute("update crm.thing set n = n + 1").await.unwrap();
    rig.caught_up().await;
    assert_eq!(rig.changes("thing").await.len(), 2);
    assert_eq!(rig.seen("thing").await, rig.truth().await);
    rig.finish().await;
}

async fn a_table_without_identity(version: Version) {
    refused_before(version, "alter table crm.thing drop constraint thing_pkey", Fault::NoIdentity).await;
    let late = "alter table crm.thing drop constraint thing_pkey, add primary key (id) deferrable";
    refused_before(version, late, Fault::NoIdentity).await;
    refused_before(version, "alter table crm.thing replica identity nothing", Fault::NoIdentity).await;
}

async fn column_lists(version: Version) {
    let full = "alter table crm.thing replica identity full; create publication storewide for table crm.thing (id, n), crm.note";
    refused_there(version, full, Fault::ColumnListWithFull).await;
    let without_key = "create publication storewide for table crm.thing (n, big), crm.note";
    refused_there(version, without_key, Fault::ColumnListWithoutKey).await;
    taken(version, "create publication storewide for table crm.thing (id, n), crm.note").await;
}

const GENERATED: &str = "alter table crm.thing add twice bigint generated always as (id * 2) stored not null";

async fn generated_columns(version: Version) {
    let full = format!("{GENERATED}; alter table crm.thing replica identity full");
    let key = format!("{GENERATED}; alter table crm.thing drop constraint thing_pkey, add primary key (id, twice)");
    taken(version, GENERATED).await;
    if version == Version::Wheel18 {
        refused_before(version, &full, Fault::GeneratedWithFull).await;
        refused_before(version, &key, Fault::GeneratedInKey).await;
        let send =
            "create publication storewide for table crm.thing, crm.note with (publish_generated_columns = stored)";
        taken(version, &format!("{full}; {send}")).await;
        let imagined = "alter table crm.thing add twice bigint generated always as (id * 2) virtual; alter table crm.thing replica identity full";
        refused_before(version, imagined, Fault::GeneratedWithFull).await;
    } else {
        taken(version, &full).await;
        taken(version, &key).await;
    }
}

async fn a_role_that_policies_hide_rows_from(version: Version) {
    let mut rig = Rig::new(version).await;
    rig.sql.batch_execute("create role capturer login replication password 'secret'").await.unwrap();
    rig.pg.user("capturer").password("secret");
    rig.start();
    let error = rig.failure().await;
    assert!(matches!(&error, CaptureError::Rights { mend, .. } if mend.contains("bypassrls")), "{error}");
    rig.sql.batch_execute("drop role capturer").await.unwrap();
}

on_both!(a_table_without_identity, column_lists, generated_columns, a_role_that_policies_hide_rows_from);
