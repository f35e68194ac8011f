use crate::rig::Rig;
use capture::{CaptureError, Fault};
use engine_postgres::Version;

async fn fault(prepare: &str) -> (Fault, String) {
    let mut rig = Rig::new(Version::System).await;
    rig.sql.batch_execute(prepare).await.unwrap();
    rig.start();
    let error = rig.failure().await;
    let text = error.to_string();
    let CaptureError::Lint(findings) = error else { panic!("{text}") };
    assert_eq!(findings.len(), 1, "{text}");
    assert!(text.contains("\"crm\".thing") || text.contains("crm.thing"), "{text}");
    assert!(text.contains("alter table"), "{text}");
    (findings[0].fault, text)
}

#[tokio::test]
async fn a_table_without_identity() {
    let (fault, text) = fault("alter table crm.thing drop constraint thing_pkey").await;
    assert_eq!(fault, Fault::NoIdentity);
    assert!(text.contains("primary key"));
}

#[tokio::test]
async fn a_column_list_with_full() {
    let prepare = "alter table crm.thing replica identity full; create publication storewide for table crm.thing (id, n), crm.note";
    assert_eq!(fault(prepare).await.0, Fault::ColumnListWithFull);
}

#[tokio::test]
async fn a_generated_column_with_full() {
    let prepare = "alter table crm.thing add twice int generated always as (n * 2) stored; alter table crm.thing replica identity full";
    assert_eq!(fault(prepare).await.0, Fault::GeneratedWithFull);
}

#[tokio::test]
async fn a_role_that_policies_hide_rows_from() {
    let mut rig = Rig::new(Version::System).await;
    rig.sql.batch_execute("create role capturer login replication password 'secret'").await.unwrap();
    rig.pg.user("capturer").password("secret");
    rig.start();
    let error = rig.failure().await;
    assert!(matches!(&error, CaptureError::Rights { mend, .. } if mend.contains("bypassrls")), "{error}");
    rig.sql.batch_execute("drop role capturer").await.unwrap();
}
