//! Who buys.

use super::mirror;

mirror! { MEMBERS: "members" of "member" by 1 {
    member_id: Uuid, member_no: Text, status: Text, tier_code: Text, enrolled_at: Timestamp, enrol_channel: Text,
    home_store_id: Uuid, locale: Text, timezone: Text, country_code: Text, attributes: Json,
    source_updated_at: Timestamp, row_version: Int, created_at: Timestamp, updated_at: Timestamp
} }

mirror! { MEMBER_IDENTITIES: "member_identities" of "member_identity" by 1 {
    identity_id: Uuid, member_id: Uuid, kind: Text, token: Text, strength: Text, created_at: Timestamp
} }

mirror! { CONSENTS: "consents" of "consent" by 1 {
    consent_id: Uuid, member_id: Uuid, purpose: Text, channel: Text, status: Text, source: Text,
    status_at: Timestamp, expires_at: Timestamp, row_version: Int
} }
