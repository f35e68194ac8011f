//! Who buys.

use super::mirror;

mirror! { MEMBERS: "members" of "member" by 1 {
    member_id: Uuid, member_no: Text, status: Text, tier_code: Text, enrolled_at: Timestamp, enrol_channel: Text,
    home_store_id: Uuid, locale: Text, timezone: Text, country_code: Text, attributes: Json,
    source_updated_at: Timestamp, row_version: Int, created_at: Timestamp, updated_at: Timestamp,
    merged_into_member_id: Uuid, erased_at: Timestamp, tier_manual: Bool, tier_valid_to: Timestamp
} }

mirror! { MEMBER_IDENTITIES: "member_identities" of "member_identity" by 1 {
    identity_id: Uuid, member_id: Uuid, kind: Text, token: Text, strength: Text, created_at: Timestamp,
    verified_at: Timestamp, first_seen_at: Timestamp, last_seen_at: Timestamp, confidence: Decimal
} }

mirror! { CONSENTS: "consents" of "consent" by 1 {
    consent_id: Uuid, member_id: Uuid, purpose: Text, channel: Text, status: Text, source: Text,
    status_at: Timestamp, expires_at: Timestamp, row_version: Int, legal_basis: Text
} }

mirror! { CONSENT_EVENTS: "consent_events" of "consent_event" by 1 {
    consent_event_id: Uuid, member_id: Uuid, purpose: Text, channel: Text, status: Text, source: Text,
    legal_basis: Text, status_at: Timestamp, expires_at: Timestamp, recorded_at: Timestamp
} }

mirror! { EXTERNAL_MEMBERSHIPS: "external_memberships" of "external_membership" by 1 {
    external_membership_id: Uuid, member_id: Uuid, program: Text, external_no: Text, level: Text, points: Int,
    status: Text, joined_at: Timestamp, source_updated_at: Timestamp, row_version: Int, created_at: Timestamp,
    updated_at: Timestamp
} }

mirror! { TIER_DEFINITIONS: "tier_definitions" of "tier_definition" by 1 {
    tier_id: Uuid, tier_code: Text, name: Text, rank: Int, basis: Text, threshold: Int, currency: Text, period: Text,
    period_days: Int, grace_days: Int, active: Bool, row_version: Int, created_at: Timestamp, updated_at: Timestamp
} }

mirror! { MEMBER_TIERS: "member_tiers" of "member_tier" by 1 {
    member_tier_id: Uuid, member_id: Uuid, from_tier_code: Text, from_rank: Int, tier_code: Text, rank: Int,
    reason: Text, since: Timestamp, until: Timestamp
} }

mirror! { MEMBER_MERGES: "member_merges" of "member_merge" by 1 {
    merge_id: Uuid, from_member_id: Uuid, into_member_id: Uuid, from_status: Text, merged_at: Timestamp,
    merged_by: Text, undone_at: Timestamp, undone_by: Text
} }
