-- concurrently
-- Looks at the rows that were there before the constraint came. Others read and write meanwhile.

alter table crm.member_pii validate constraint member_pii_addresses_check;
