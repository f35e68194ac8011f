//! Personal data, as PostgreSQL itself keeps them: whoever forgets to ask sees none.

use crate::shop::{Shop, context, identity, member};
use engine_postgres::Version;
use engine_postgres::testing::{connect, fresh_database};
use model::{IdentityKind, Layer, Tokeniser};
use oltp::command::PutMember;
use oltp::{Command, Config, Entity, Oltp};
use runtime::Telemetry;

crate::on_both!(an_ordinary_statement_sees_no_personal_row, an_owner_who_is_no_superuser_is_bound_too);

fn zebedee() -> Command {
    Command::Member(PutMember {
        first_name: Some("Zebedee".to_owned()),
        identities: vec![identity(IdentityKind::Email, "zebedee@example.com").into()],
        ..member("m9")
    })
}

/// Rows of the tables of personal data that the pool's connection sees.
async fn seen(oltp: &Oltp) -> (i64, i64) {
    let sql = "select (select count(*) from crm.member_pii), (select count(*) from crm.member_identity_value)";
    let row = oltp.client().await.unwrap().query_one(sql, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

async fn check(oltp: &Oltp) {
    oltp.run(&context(), &zebedee()).await.unwrap();
    assert_eq!(seen(oltp).await, (0, 0));
    let text = async |with_pii| oltp.get(Entity::MEMBER, "m9", with_pii).await.unwrap().unwrap().to_string();
    let (hidden, shown) = (text(false).await, text(true).await);
    assert!(!hidden.contains("Zebedee") && !hidden.contains("zebedee") && hidden.contains("z***om"), "{hidden}");
    assert!(shown.contains("Zebedee") && shown.contains("zebedee@example.com"), "{shown}");
    assert_eq!(seen(oltp).await, (0, 0), "what one transaction may is not what the next may");
    // A write changes what is there, and its transaction is no door for the next statement.
    let mut renamed = zebedee();
    if let Command::Member(body) = &mut renamed {
        body.first_name = Some("Zeb".to_owned());
    }
    oltp.run(&context(), &renamed).await.unwrap();
    assert!(text(true).await.contains("\"Zeb\""));
    assert_eq!(seen(oltp).await, (0, 0));
    let client = oltp.client().await.unwrap();
    let insert = "insert into crm.member_pii (member_id, first_name) select member_id, 'Eve' from crm.member limit 1";
    assert!(client.execute(insert, &[]).await.is_err(), "an ordinary statement writes none either");
}

async fn an_ordinary_statement_sees_no_personal_row(version: Version) {
    check(&Shop::empty(version).await.oltp).await;
}

async fn an_owner_who_is_no_superuser_is_bound_too(version: Version) {
    let mut pg = fresh_database(version).await.unwrap();
    let role = format!("keeper_{}", uuid::Uuid::now_v7().simple());
    let database = pg.get_dbname().unwrap().to_owned();
    let boss = connect(&pg).await.unwrap();
    let sql = format!("create role {role} login password 'x' nosuperuser; alter database {database} owner to {role}");
    boss.batch_execute(&sql).await.unwrap();
    pg.user(&role).password("x");
    let oltp =
        Oltp::new(&Config::default(), pg, Tokeniser::new(b"test"), Telemetry::default().meter(Layer::Oltp)).unwrap();
    oltp.migrate().await.unwrap();
    check(&oltp).await;
    drop(oltp);
}
