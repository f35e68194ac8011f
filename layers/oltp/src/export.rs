//! Looking members up at the till, exporting all that is held about one, and letting tiers run out.

use crate::command::{Context, LookupMember};
use crate::error::OltpError;
use crate::pool::Oltp;
use crate::statement;
use serde_json::Value;
use uuid::Uuid;

/// Rows of each section of an export: what there is more comes by pages.
pub const EXPORT_ROWS: i32 = 100;
/// Longest id that can be one, in bytes.
const ID_MAX: usize = 512;

impl Oltp {
    /// Whom identities lead to: `member` where strong ones lead to one member, else none, and `candidates` whom weak ones, or strong ones
    /// that lead to several, speak for. Each with tier, points that can be spent and number of coupons that can be used; with names only
    /// `with_pii`.
    ///
    /// # Errors
    /// `oltp.invalid_identity` and others for a question that cannot be; [`OltpError::Unavailable`] when the server does not answer.
    pub async fn lookup(&self, ask: &LookupMember, with_pii: bool) -> Result<Value, OltpError> {
        let tokens = ask.identities(&self.inner.tokeniser)?;
        let fault = |error: serde_json::Error| OltpError::Internal(format!("a question cannot be written: {error}"));
        let tokens = serde_json::to_string(&tokens).map_err(fault)?;
        let rows = self.read(statement::LOOKUP_MEMBER, &[&tokens], true, with_pii).await?;
        rows.first().map(|row| row.get(0)).ok_or_else(|| OltpError::Internal("no answer".to_owned()))
    }

    /// All that is held about a member and those merged into it, by our id or your number: the first [`EXPORT_ROWS`] rows of each section.
    /// A section that goes on says where, by `next`; none where there is no such member. It is personal throughout: who asked for it stands
    /// in the audit log before it is given.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn export(&self, context: &Context, id: &str) -> Result<Option<Value>, OltpError> {
        let Some(uuid) = named(id) else { return Ok(None) };
        self.note_export(context, uuid, id).await?;
        let rows = self.read(statement::EXPORT_MEMBER, &[&uuid, &id, &EXPORT_ROWS], true, true).await?;
        Ok(rows.first().map(|row| row.get(0)))
    }

    /// The rows of one section of an export behind `after`, and `next`; none where there is no such member or section. The first page stands
    /// in the audit log, as [`Self::export`] does.
    ///
    /// # Errors
    /// [`OltpError::Unavailable`] when the server does not answer.
    pub async fn export_section(
        &self,
        context: &Context,
        id: &str,
        section: &str,
        after: Option<Uuid>,
    ) -> Result<Option<Value>, OltpError> {
        let Some(uuid) = named(id) else { return Ok(None) };
        if named(section).is_none() {
            return Ok(None);
        }
        if after.is_none() {
            self.note_export(context, uuid, id).await?;
        }
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 5] = [&uuid, &id, &section, &after, &EXPORT_ROWS];
        let rows = self.read(statement::EXPORT_SECTION, &parameters, true, true).await?;
        Ok(rows.first().map(|row| row.get(0)))
    }

    async fn note_export(&self, context: &Context, uuid: Option<Uuid>, id: &str) -> Result<(), OltpError> {
        let Context { actor, reason, request_id, .. } = context;
        self.query(statement::AUDIT_EXPORT, &[&uuid, &id, actor, reason, request_id]).await.map(drop)
    }
}

/// What an id may be as one of ours; none where it can be no id at all.
fn named(id: &str) -> Option<Option<Uuid>> {
    let sane = !id.is_empty() && id.len() <= ID_MAX && !id.contains('\0');
    sane.then(|| Uuid::parse_str(id).ok())
}
