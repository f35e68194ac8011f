-- Every function of the store, called with what it may get. In the shop there are the order till:1 of m1 and the return till:r1 of it.

select crm.uuid7(), crm.major('JPY'), crm.bought('paid'), crm.fault(0, 'unknown_sku', '/x', 'y');

select crm.answer(0, '{"actor": "t", "request": "r"}', 'store', gen_random_uuid(), 'created', 1);

select crm.answers('store', array[row (0, '{"actor": "t"}'::jsonb, gen_random_uuid(), 1, 'created')::crm.told]);

select crm.put_stores('[
    {"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-000000000001", "b": {"store_code": "x", "name": "X", "timezone": "Asia/Tokyo"}},
    {"i": 1, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-000000000002", "b": {"store_code": "s1", "name": "Y"}},
    {"i": 2, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-000000000003", "b": {"store_code": "z", "name": "Z", "timezone": "Mars"}}]');

select crm.put_products('[
    {"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-000000000001", "b": {"product_code": "x", "title": "X"}},
    {"i": 1, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-000000000002", "b": {"product_code": "a", "title": "Y"}}]');

select crm.put_skus('[
    {"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-000000000001", "b": {"sku_code": "x", "product_code": "x"}},
    {"i": 1, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-000000000002", "b": {"sku_code": "y", "product_code": "none"}}]');

select crm.put_members('[
    {"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-000000000001", "b": {"member_no": "x", "first_name": "Eve",
        "home_store_code": "s1", "account_id": "00000000-0000-0000-0000-000000000011", "now": "2026-03-01T00:00:00Z",
        "tokens": [{"id": "00000000-0000-0000-0000-000000000021", "n": 0, "kind": "card", "token": "t-1", "value": "1"}],
        "granted": [{"id": "00000000-0000-0000-0000-000000000031", "purpose": "marketing", "channel": "email", "status": "granted",
            "status_at": "2026-03-01T00:00:00Z", "timed": true}]}},
    {"i": 1, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-000000000002", "b": {"member_no": "y", "home_store_code": "none",
        "tokens": [], "granted": []}},
    {"i": 2, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-000000000003", "b": {"member_no": "m2", "granted": [],
        "tokens": [{"id": "00000000-0000-0000-0000-000000000022", "n": 0, "kind": "card", "token": "t-1", "value": "1"}]}}]');

select crm.put_consents(member_id, '[{"id": "00000000-0000-0000-0000-000000000032", "purpose": "marketing", "channel": "sms",
    "status": "denied", "status_at": "2026-03-01T00:00:00Z", "timed": false}]') from crm.member where member_no = 'm1';

select crm.add_identities(member_id, '[{"id": "00000000-0000-0000-0000-000000000023", "kind": "card", "token": "t-2", "value": "2"}]')
from crm.member where member_no = 'm1';

select crm.put_addresses(member_id, '[{"label": "home", "lines": ["x"]}, {"label": "away"}]') from crm.member where member_no = 'm1';

select crm.with_addresses('[{"label": "home", "lines": ["x"]}]', '[{"label": "home"}, {"label": "away", "lines": ["y"]}]');

-- One new, the same again, one of an order that is not there.
select crm.do_order_addresses('[
    {"i": 0, "c": {"actor": "t"}, "b": {"source": "till", "order_no": "1", "addresses": [{"label": "shipping", "lines": ["x"]}]}},
    {"i": 1, "c": {"actor": "t"}, "b": {"source": "till", "order_no": "1", "addresses": [{"label": "shipping", "lines": ["x"]}]}},
    {"i": 2, "c": {"actor": "t"}, "b": {"source": "till", "order_no": "none", "addresses": [{"label": "shipping", "lines": ["x"]}]}}]');

select crm.put_pii(member_id, 'Ann', null, '1990-01-01') from crm.member where member_no = 'm1';

-- A new order, a changed one and a wrong one, as `crm.run` passes them on.
create temporary table asked on commit drop as select '[
    {"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-000000000041", "b": {"source": "till", "order_no": "2", "channel": "pos",
        "store_code": "s1", "buyer_kind": "card", "buyer_token": "t-2", "placed_at": "2026-03-02T10:30:00Z", "currency": "USD",
        "status": "paid", "units": 1, "gross": 500, "discount": 0, "tax": 0, "shipping": 0, "net": 500, "total": 500, "coupon_codes": ["C"],
        "lines": [{"id": "00000000-0000-0000-0000-000000000051", "n": 1, "sku": "a", "q": 1, "price": 500, "gross": 500, "discount": 0,
            "tax": 0, "void": false}],
        "payments": [{"id": "00000000-0000-0000-0000-000000000061", "n": 1, "tender": "card", "amount": 500, "status": "captured"}]}},
    {"i": 1, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-000000000042", "b": {"source": "till", "order_no": "1", "channel": "pos",
        "store_code": "s1", "member_no": "m2", "placed_at": "2026-03-02T09:30:00Z", "currency": "USD", "status": "fulfilled", "units": 2,
        "gross": 4000, "discount": 0, "tax": 0, "shipping": 0, "net": 4000, "total": 4000, "coupon_codes": [],
        "lines": [{"id": "00000000-0000-0000-0000-000000000052", "n": 1, "sku": "a", "q": 2, "price": 2000, "gross": 4000, "discount": 0,
            "tax": 0, "void": false}],
        "payments": []}},
    {"i": 2, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-000000000043", "b": {"source": "till", "order_no": "3", "channel": "pos",
        "placed_at": "2026-03-02T09:30:00Z", "currency": "USD", "status": "paid", "units": 0, "gross": 0, "discount": 0, "tax": 0,
        "shipping": 0, "net": 0, "total": 0, "coupon_codes": [], "payments": [],
        "lines": [{"id": "00000000-0000-0000-0000-000000000053", "n": 1, "sku": "none", "q": 1, "gross": 1, "discount": 0, "tax": 0,
            "void": false}]}}]'::jsonb as orders;

select crm.edit_order(a), crm.edit_fault(o.order_id, a)
from asked cross join lateral unnest(crm.ask_orders(asked.orders)) a
join crm.sales_order o on (o.source, o.order_no) = (a.source, a.order_no);

select crm.order_status('paid', 2, 2), crm.payment_status('paid', 100, 50, 0, true), crm.fulfilment_status('paid', 2, 1, 0), crm.overpaid(0);

select crm.come_back(order_id), crm.settle_order(order_id), crm.change_owner(order_id, member_id) from crm.sales_order;

select crm.order_happened(o, 'edited', 'pending', null, 1, 'till', now()) from crm.sales_order o;

select crm.put_orders(orders) from asked;

select crm.line_below_returned(o.order_id, '{}') from crm.sales_order o where o.order_no = '1';

select crm.edit_lines(o.order_id, o.member_id, array(select l from crm.order_line l where l.order_id = o.order_id and l.line_no = 1)),
    crm.edit_payments(o.order_id, o.member_id, array(select p from crm.payment p where p.order_id = o.order_id))
from crm.sales_order o where o.order_no = '1';

select crm.post_points(array_agg(order_id)), crm.post_points_again(array_agg(order_id)) from crm.sales_order;

select crm.ask_return(o.order_id, null, '[{"line_no": 1, "quantity": 0.5}, {"line_no": 9, "quantity": 1}]', true)
from crm.sales_order o where o.order_no = '1';

select crm.put_returns('[
    {"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-000000000071", "b": {"source": "till", "return_no": "r2",
        "order_source": "till", "order_no": "2", "store_code": "s1", "returned_at": "2026-03-05T10:00:00Z",
        "lines": [{"line_no": 1, "quantity": 1}], "ids": ["00000000-0000-0000-0000-000000000081"]}},
    {"i": 1, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-000000000072", "b": {"source": "till", "return_no": "r3",
        "order_source": "till", "order_no": "none", "returned_at": "2026-03-05T10:00:00Z", "lines": []}}]');

select crm.put_return(0, '{"actor": "t"}', gen_random_uuid(), '{"source": "till", "return_no": "r1", "status": "requested",
    "returned_at": "2026-03-05T10:00:00Z", "lines": [{"line_no": 1, "quantity": 1}], "ids": ["00000000-0000-0000-0000-000000000082"]}', o, s,
    o.member_id, null)
from crm.sales_order o, crm.store s where o.order_no = '1' and s.store_code = 's1';

select crm.edit_return_lines(r.return_id, r.member_id, '{}', '[]') from crm.sales_return r where r.return_no = 'r1';

select crm.ask_blind_return('[{"line_no": 1, "sku_code": "a", "quantity": 1, "net_minor": 5}, {"line_no": 2, "sku_code": "none", "quantity": 1}]');

select crm.refund_fault(0, r.return_id, r.order_id, '[{"refund_no": 1, "payment_no": 1, "amount_minor": 1}, {"refund_no": 2, "payment_no": 9, "amount_minor": 1}]'),
    crm.edit_refunds(r.return_id, r.order_id, r.member_id, 'USD', '[{"refund_no": 1, "tender_type": "card", "amount_minor": 0}]',
        '["00000000-0000-0000-0000-000000000091"]')
from crm.sales_return r where r.return_no = 'r1';

select crm.order_gave_back(o, r, null, null) from crm.sales_order o join crm.sales_return r using (order_id) where r.return_no = 'r1';

select crm.uuid_time(crm.uuid_from('2026-03-01T00:00:00Z')), (select count(*) from crm.ledger_partitions()), crm.make_partitions(3),
    crm.drop_partitions('order_event', 1200);

create table crm.tried (id uuid primary key) partition by range (id);
create table crm.tried_default partition of crm.tried default;
select crm.guard_ledger('tried'), crm.make_partition('tried', 'tried_2020_01', crm.uuid_from('2020-01-01'), crm.uuid_from('2020-02-01')),
    crm.guard_partition('tried', 'tried_2020_01');
drop table crm.tried;

select crm.claim_keys('[{"i": 0, "c": {"actor": "t"}, "key": "k", "hash": "00"}]');

select crm.settle_keys('[{"i": 0, "c": {"actor": "t"}, "key": "k"}]', '[{"i": 0, "id": "x", "effect": "created", "row_version": 1}]');

select crm.claim_keys('[{"i": 0, "c": {"actor": "t"}, "key": "k", "hash": "00"}, {"i": 1, "c": {"actor": "t"}, "key": "k", "hash": "01"}]');

select crm.without('[{"kind": "store", "items": [{"i": 0}, {"i": 1}]}]', '[{"i": 0}]');

select crm.lock_orders('[{"kind": "order", "items": [{"b": {"source": "till", "order_no": "1"}}]}]');

select crm.forget_keys(0, 10);

select crm.run(jsonb_build_object('keys', 0, 'keep_days', 7, 'waves', jsonb_build_array(jsonb_build_object('kind', 'order', 'items', orders))))
from asked;

select crm.audit('tested', 'store', gen_random_uuid(), null);

select crm.guardrail_facts(jsonb_build_object('member_id', member_id, 'purpose', 'marketing', 'channel', 'sms', 'since', now())),
    crm.contacts(member_id, 'sms', now())
from crm.member where member_no = 'm1';

select crm.record_recommendation(jsonb_build_object('id', gen_random_uuid(), 'intent_id', '00000000-0000-0000-0000-0000000000a' || n,
    'playbook', 'p', 'playbook_version', 1, 'person', 'm:x', 'member_id', member_id, 'channel', 'email',
    'payload', '{"outcome": {"window_s": 86400}}'::jsonb, 'at', '2026-03-02T10:00:00Z', 'cap_count', 2, 'cap_since', '2026-03-02T00:00:00Z',
    'verdicts', '[{"guardrail": "consent", "allow": true, "reason": "granted"}]'::jsonb,
    'action', jsonb_build_object('id', '00000000-0000-0000-0000-0000000000b' || n, 'payload', '{}'::jsonb, 'due_at', '2026-03-02T10:00:00Z')))
from crm.member cross join generate_series(1, 3) n where member_no = 'm1';

select crm.due_actions('{"now": "2026-03-02T10:00:00Z", "until": "2026-03-02T10:01:00Z", "limit": 1}');

select crm.record_delivery('{"delivery_id": "00000000-0000-0000-0000-0000000000c1", "action_id": "00000000-0000-0000-0000-0000000000b1",
    "attempt": 1, "status_code": 200, "status": "delivered", "at": "2026-03-02T10:00:00Z"}');

select crm.retract('{"intent_id": "00000000-0000-0000-0000-0000000000a2", "at": "2026-03-02T10:00:00Z"}');

select crm.purchase_of(member_id, '2026-01-01', '2027-01-01') from crm.member where member_no = 'm1';

select crm.settle_outcomes(array['00000000-0000-0000-0000-0000000000b1'::uuid], '2026-03-09T10:00:00Z');

select crm.acted(0, '{"actor": "t"}', 'store', gen_random_uuid(), 'updated', 2, '{"balance": 1}');

select crm.after_orders(array_agg(order_id)) from crm.sales_order;

select crm.do_campaign('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000d1", "b": {"campaign_code": "c", "name": "C",
    "channel": "ads", "attributes": {}}}]');

select crm.named('{"order_source": "till", "order_no": "1", "member_no": "m1", "sku_code": "a", "campaign_code": "c"}'),
    crm.named('{"member_kind": "email", "member_token": "x"}'), crm.named('{"sku_code": "none"}');

select crm.put_record('campaign', '{campaign_code}', 0, '{"actor": "t"}', gen_random_uuid(), '{"campaign_code": "c", "name": "D"}');

select crm.do_ad_spend('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000d2", "b": {"platform": "p", "account": "a",
    "level": "ad", "level_no": "1", "day": "2026-01-31", "breakdown": "", "currency": "USD", "spend_minor": 1, "campaign_code": "c"}}]');

select crm.do_subscription('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000d3", "b": {"source": "s",
    "subscription_no": "1", "member_no": "m1", "sku_code": "a", "quantity": 1, "status": "active", "interval_unit": "day",
    "interval_count": 1, "price_minor": 1, "currency": "USD", "started_at": "2026-03-01T00:00:00Z"}}]');

select crm.do_ticket('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000d4", "b": {"source": "s", "ticket_no": "1",
    "member_no": "m1", "opened_at": "2026-03-01T00:00:00Z", "tags": []}}]');

select crm.do_shipment('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000d5", "b": {"source": "s", "shipment_no": "1",
    "order_source": "till", "order_no": "1", "events": []}}]');

select crm.put_shipment_lines('00000000-0000-0000-0000-0000000000d5', null, '[{"line_no": 1, "quantity": 1}]');

select crm.add_shipment_events('00000000-0000-0000-0000-0000000000d5', null, '[{"id": "00000000-0000-0000-0000-0000000000d6",
    "status": "delivered", "at": "2026-03-01T00:00:00Z"}]');

select crm.record_approval(jsonb_build_object('approval_id', gen_random_uuid(), 'recommendation_id', recommendation_id, 'verdict', 'approved',
    'decided_by', 't', 'at', now())) from crm.recommendation limit 1;

select crm.owner_of(member_id), crm.persons_of(member_id), crm.audit_member('{"actor": "t"}', 'tested', member_id),
    crm.lock_members(array[member_id])
from crm.member where member_no = 'm1';

select crm.do_tier('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-000000000071", "b": {"tier_code": "silver",
    "name": "Silver", "rank": 1, "basis": "points", "threshold": 1, "period": "rolling", "period_days": 3660}}]');

select crm.tier_changed(member_id, null, 'silver', 'reached'), crm.tier_values(member_id, '2026-01-01', true),
    crm.tier_lapse(d, crm.tier_values(member_id, '2026-01-01', true), enrolled_at), crm.tier_due(m, now())
from crm.member m cross join crm.tier_definition d where member_no = 'm1';

select crm.place_tiers(array[member_id]), crm.place_each(array[member_id], now(), true) from crm.member where member_no = 'm1';

select crm.sweep_tiers('2050-01-01', 10);

select crm.do_member_tier('[{"i": 0, "c": {"actor": "t"}, "b": {"member_no": "m1", "tier_code": "silver"}}]');

select crm.settle_consents(member_id) from crm.member where member_no = 'm1';

select crm.do_external_membership('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-000000000072",
    "b": {"program": "air", "external_no": "1", "member_no": "m1"}}]');

select crm.do_member_unlink('[{"i": 0, "c": {"actor": "t"}, "b": {"member_no": "m1", "tokens": [{"kind": "card", "token": "t-2"}]}}]');

select crm.touches('sales_order'), crm.move_owned(crm.uuid7(), crm.uuid7(), crm.uuid7(), false), crm.merge_told(crm.uuid7());

select crm.merge_member(0, '{"actor": "t"}', '00000000-0000-0000-0000-000000000073', a, b)
from crm.member a cross join crm.member b where (a.member_no, b.member_no) = ('x', 'm2');

select crm.unmerge_member(0, '{"actor": "t"}', g) from crm.member_merge g;

select crm.do_member_merge('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-000000000074",
    "b": {"from_member_no": "m1", "into_member_no": "m2"}}]');

select crm.do_member_unmerge('[{"i": 0, "c": {"actor": "t"}, "b": {"member_no": "m1"}}]');

select crm.follow_owners(array_agg(order_id)) from crm.sales_order;

select crm.lookup_member('[{"kind": "email", "token": "x"}]'), crm.member_card(member_id),
    crm.export_member(member_id, 10), crm.export_section('sales_order', array[member_id], null, 1)
from crm.member where member_no = 'm1';

select crm.do_member_erase('[{"i": 0, "c": {"actor": "t"}, "b": {"member_no": "m2"}}]');

select crm.erase_owned(array[member_id]), crm.erase_member('{"actor": "t"}', m) from crm.member m where member_no = 'm1';
select crm.owner_of(member_id), crm.place_tiers(array[member_id]), crm.lock_points(array[member_id]), crm.points_on('member', member_id),
    crm.points_refused(0, member_id, '/member'), crm.points_refused(0, null, '/member'), crm.short_of_points(0, 1),
    crm.points_owner('{"member_no": "m1"}'), crm.points_owner('{"kind": "card", "token": "t-2"}'), crm.points_now(member_id, now())
from crm.member where member_no = 'm1';

select crm.do_points_program('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000e0", "b": {"program_code": "quick",
    "earn_points": 1, "earn_units": 1, "pending_days": 1, "expiry_days": 5}},
    {"i": 1, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000e1", "b": {"program_code": "default",
    "earn_points": 2, "earn_units": 1, "valid_from": "2026-03-01T00:00:00Z"}}]');

update crm.points_program set valid_from = now() - interval '1 day' where program_code = 'quick';

select crm.do_points(jsonb_agg(jsonb_build_object('i', n, 'c', '{"actor": "t"}'::jsonb, 'id', '00000000-0000-0000-0000-0000000000e' || n,
    'b', b.value || '{"member": {"member_no": "m1"}}') order by n))
from rows from (jsonb_array_elements('[
    {"act": "earn", "points": 50, "expires_at": "2040-01-01T00:00:00Z"}, {"act": "earn", "points": 5, "program_code": "quick"},
    {"act": "burn", "points": 20}, {"act": "reserve", "points": 10, "hold_s": 60}, {"act": "burn", "points": 5000},
    {"act": "adjust", "points": 3}, {"act": "adjust", "points": -1}, {"act": "transfer", "points": 1, "to": {"member_no": "m2"}},
    {"act": "transfer", "points": 1, "to": {"member_no": "none"}}]')) with ordinality b (value, n);

select crm.do_points(jsonb_agg(jsonb_build_object('i', n, 'c', '{"actor": "t"}'::jsonb, 'id', gen_random_uuid(), 'b', b.value) order by n))
from rows from (jsonb_array_elements('[
    {"act": "capture", "points": 5, "reservation_id": "00000000-0000-0000-0000-0000000000e4"},
    {"act": "release", "reservation_id": "00000000-0000-0000-0000-0000000000e4"},
    {"act": "refund", "points": 5, "entry_id": "00000000-0000-0000-0000-0000000000e3"}]')) with ordinality b (value, n);

select crm.earn_points(0, '{"actor": "t"}', gen_random_uuid(), member_id, '{"points": 1}'),
    crm.burn_points(0, '{"actor": "t"}', gen_random_uuid(), member_id, '{"points": 1}'),
    crm.adjust_points(0, '{"actor": "t"}', gen_random_uuid(), member_id, '{"points": 1}'),
    crm.reserve_points(0, '{"actor": "t"}', '00000000-0000-0000-0000-0000000000ea', member_id, '{"points": 1, "hold_s": 1}'),
    crm.close_points(0, '{"actor": "t"}', gen_random_uuid(),
        '{"act": "release", "reservation_id": "00000000-0000-0000-0000-0000000000ea"}'),
    crm.refund_points(0, '{"actor": "t"}', gen_random_uuid(), '{"entry_id": "00000000-0000-0000-0000-0000000000e3"}'),
    crm.transfer_points(0, '{"actor": "t"}', gen_random_uuid(), member_id, '{"points": 1, "to": {"member_no": "m2"}}'),
    crm.points_told(0, '{"actor": "t"}', 'points_entry', gen_random_uuid(), 1, member_id, null)
from crm.member where member_no = 'm1';

select crm.credit_points('00000000-0000-0000-0000-0000000000f0', 'earn', 'issuance', member_id, 10, now() + interval '1 day',
        now() + interval '3 days', null, null),
    crm.credit_points('00000000-0000-0000-0000-0000000000f1', 'earn', 'issuance', member_id, 10, null, now() + interval '3 days', null, null),
    crm.points_entry('00000000-0000-0000-0000-0000000000f2', 'adjust', now(), array[row ('member', member_id, 9),
        row ('adjustment', null, -9)]::crm.points_side[], '{"reason": "x"}'),
    crm.make_lot(member_id, 9, '00000000-0000-0000-0000-0000000000f2', now(), now(), now() + interval '2 days', null),
    crm.points_due(member_id, now() + interval '1 day'), crm.settle_points(member_id, now()), crm.repay_points(member_id, now())
from crm.member where member_no = 'm2';

select crm.points_entry('00000000-0000-0000-0000-0000000000f3', 'burn', now(), array[row ('member', member_id, -5),
        row ('redemption', null, 5)]::crm.points_side[], null),
    crm.take_lots(member_id, 5, '00000000-0000-0000-0000-0000000000f3', '00000000-0000-0000-0000-0000000000f3', now(), null),
    crm.points_entry('00000000-0000-0000-0000-0000000000f4', 'refund', now(), array[row ('member', member_id, 5),
        row ('redemption', null, -5)]::crm.points_side[], '{"origin_id": "00000000-0000-0000-0000-0000000000f3"}'),
    crm.give_back(member_id, '00000000-0000-0000-0000-0000000000f3', 5, 3, '00000000-0000-0000-0000-0000000000f4', now())
from crm.member where member_no = 'm2';

select crm.use_lot(lot_id, 1, gen_random_uuid(), gen_random_uuid(), now()) from crm.points_lot where not pending and remaining > 1 limit 1;

select crm.do_points('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000eb", "b": {"act": "reserve", "points": 2,
    "hold_s": 60, "member": {"member_no": "m1"}}}]');

select crm.end_reservation(r, 1, 'captured', gen_random_uuid(), now(), null) from crm.points_reservation r
where reservation_id = '00000000-0000-0000-0000-0000000000eb';

select crm.post_earned(row (order_id, member_id, 3, false, now(), 1, 5)::crm.points_ask),
    crm.post_reversed(row (order_id, member_id, -3, true, null, null, null)::crm.points_ask)
from crm.sales_order where order_no = '1';

select crm.move_points(f.member_id, i.member_id, '00000000-0000-0000-0000-0000000000fa')
from crm.member f, crm.member i where f.member_no = 'm1' and i.member_no = 'm2';

select crm.unmerged_points(m), crm.return_parts(null, null, null, null) from crm.points_merge m;

select crm.do_points('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000ec", "b": {"act": "burn", "points": 30,
    "member": {"member_no": "m2"}}}]');

select crm.unmove_points('00000000-0000-0000-0000-0000000000fa');

select crm.sweep_points(now() + interval '10 days', 10), crm.points_liability(now());
select crm.do_coupon_definition('[
    {"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000e1", "b": {"definition_code": "ten", "title": "T", "kind": "unique",
        "status": "active", "discount_type": "percent", "percent_bp": 1000, "currency": "USD", "budget_minor": 10000, "global_limit": 100,
        "per_member_limit": 10, "tier_codes": [], "members_only": false, "first_order_only": false, "include": {"skus": ["a"]},
        "exclude": {}, "store_codes": [], "channels": [], "stacking": "free", "priority": 100, "uses_per_code": 1,
        "restore_on_return": true}}]');

select crm.edit_definition(d), crm.deal_allowance(d) from crm.coupon_definition d;

select crm.do_coupon_issue('[
    {"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000e2", "b": {"definition_code": "ten",
        "codes": ["C1", "C2", "C3", "C4"], "keys": ["C1", "C2", "C3", "C4"], "members": [], "given": true}},
    {"i": 1, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000e3", "b": {"definition_code": "none", "codes": [], "keys": []}}]');

select crm.issue_codes('00000000-0000-0000-0000-0000000000e2', d, '{C5}', '{C5}', '{m1}', null) from crm.coupon_definition d;

update crm.coupon_batch set codes = 5;

create temporary table cart on commit drop as select '{"member_no": "m1", "store_code": "s1", "channel": "pos", "currency": "USD", "shipping": 0,
    "order_source": "web", "order_no": "9", "seconds": 900, "lines": [{"n": 1, "sku": "a", "q": 2, "amount": 2000}],
    "codes": [{"code": "C1", "key": "C1"}, {"code": "none", "key": "NONE"}]}'::jsonb as b;

select crm.bought_before(crm.ask_cart(0, b)), crm.ask_coupons(b -> 'codes', crm.ask_cart(0, b)),
    crm.weigh_coupons(b -> 'codes', crm.ask_cart(0, b)), crm.judge_coupons(crm.ask_coupons(b -> 'codes', crm.ask_cart(0, b)), crm.ask_cart(0, b)),
    crm.tell_coupons(crm.weigh_coupons(b -> 'codes', crm.ask_cart(0, b)), crm.ask_cart(0, b))
from cart;

select crm.coupon_refusal(a, crm.ask_cart(0, b)), crm.coupon_names('{"brands": ["x"]}', (crm.ask_cart(0, b)).lines[1])
from cart cross join lateral unnest(crm.ask_coupons(b -> 'codes', crm.ask_cart(0, b))) a;

select crm.coupon_shares(10, '{1, 2, 3}'), crm.coupon_reason('expired'), crm.coupon_status('issued', 0, 0, 1), crm.coupon_lock(gen_random_uuid());

select crm.coupon_categories(p), crm.cart_of_order(o) from crm.product p cross join crm.sales_order o;

select crm.do_coupon_validate(jsonb_build_array(jsonb_build_object('i', 0, 'c', '{"actor": "t"}'::jsonb, 'id', gen_random_uuid(), 'b', b)))
from cart;

select crm.do_coupon_reserve(jsonb_build_array(jsonb_build_object('i', 0, 'c', '{"actor": "t"}'::jsonb,
    'id', '00000000-0000-0000-0000-0000000000e4', 'b', b || '{"codes": [{"key": "C1"}]}'))) from cart;

select crm.lock_uses('[
    {"b": {"codes": [{"key": "none"}], "member_no": "m1", "order_source": "till", "order_no": "1"}},
    {"b": {"codes": [], "buyer_kind": "email", "buyer_token": "none"}}]');

select crm.do_coupon_redeem(jsonb_build_array(jsonb_build_object('i', 0, 'c', '{"actor": "t"}'::jsonb, 'id', gen_random_uuid(),
    'b', b || '{"codes": [{"key": "C1"}]}'))) from cart;

select crm.hold_coupons(0, crm.ask_cart(0, b), '[{"key": "C2"}]', '/codes', '00000000-0000-0000-0000-0000000000e5', now() + '1 hour') from cart;

select crm.lock_coupons(array(select coupon_id from crm.coupon), m.member_id), crm.lock_cart_order('till', '1')
from crm.member m where m.member_no = 'm1';

select crm.draw_allowance(definition_id, 1, 10), crm.draw_allowance(definition_id, -1, -10), crm.draw_allowance(definition_id, 1, 1000000)
from crm.coupon_definition;

select crm.draw_allowances(w), crm.write_uses(w, crm.ask_cart(0, b), null, null)
from cart cross join lateral crm.weigh_coupons('[{"key": "C3"}]', crm.ask_cart(0, b)) w;

select crm.end_uses(array(select redemption_id from crm.coupon_redemption where status = 'redeemed'), 'rolled_back');

select crm.do_coupon_release('[{"i": 0, "c": {"actor": "t"}, "b": {"reservation_id": "00000000-0000-0000-0000-0000000000e5"}},
    {"i": 1, "c": {"actor": "t"}, "b": {"reservation_id": "00000000-0000-0000-0000-0000000000e6"}}]');

select crm.do_coupon_rollback('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000e7", "b": {"order_source": "web", "order_no": "9"}},
    {"i": 1, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000e7", "b": {"redemption_id": "00000000-0000-0000-0000-0000000000e6"}}]');

select crm.do_coupon_assign('[{"i": 0, "c": {"actor": "t"}, "b": {"key": "C3", "member_no": "m1"}}]');

select crm.give_coupons(array(select coupon_id from crm.coupon_code where code_key = 'C2'), member_id) from crm.member where member_no = 'm2';

select crm.do_coupon_void('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000e8", "b": {"key": "C4"}}]');

select crm.redeem_of_order(0, order_id, '[{"key": "C5", "discount_minor": 0}]') from crm.sales_order where order_no = '1';

select crm.do_order_redeem(jsonb_build_array((orders -> 0) || '{"id": "00000000-0000-0000-0000-000000000048"}'
    || jsonb_build_object('b', (orders -> 0 -> 'b')
        || '{"order_no": "20", "lines": [], "payments": [], "redemptions": [{"key": "none"}]}'))) from asked;

select crm.settle_coupons(array(select order_id from crm.sales_order)), crm.sweep_coupons(now(), 10);

select crm.move_coupons(a.member_id, b.member_id, '00000000-0000-0000-0000-0000000000e9')
from crm.member a cross join crm.member b where (a.member_no, b.member_no) = ('m1', 'm2');

select crm.unmove_coupons('00000000-0000-0000-0000-0000000000e9');
select crm.do_brand('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000e1", "b": {"brand_code": "b", "name": "B"}}]'),
    crm.do_brand('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000e1", "b": {"brand_code": "b", "name": "C"}}]');

select crm.do_category('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000e2", "b": {"category_code": "r", "name": "R"}},
    {"i": 1, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000e3", "b": {"category_code": "l", "name": "L", "parent_code": "r"}},
    {"i": 2, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000e4", "b": {"category_code": "r", "name": "R", "parent_code": "l"}},
    {"i": 3, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000e5", "b": {"category_code": "l", "name": "M"}}]');

select crm.name_products(array(select brand_id from crm.brand), array(select category_id from crm.category));

select crm.put_gtins('[{"sku_code": "a", "gtins": [{"gtin14": "00000096385074", "is_global": true}]}, {"sku_code": "none"}]'), crm.put_gtins('[{"sku_code": "a"}]');

select crm.business_day(s, now()), crm.store_open(s, now()), crm.put_calendar(s.store_id,
    '[{"weekday": 1, "opens": "09:00", "closes": "20:00"}]', '[{"day": "2026-12-25", "name": "Christmas"}]')
from crm.store s where s.store_code = 's1';

select crm.do_bundle('[{"i": 0, "c": {"actor": "t"}, "b": {"sku_code": "e", "components": [{"sku_code": "a", "quantity": 2}]}},
    {"i": 1, "c": {"actor": "t"}, "b": {"sku_code": "d", "components": [{"sku_code": "e", "quantity": 2}]}},
    {"i": 2, "c": {"actor": "t"}, "b": {"sku_code": "none", "components": []}}]');

select crm.do_price('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000e6", "b": {"price_code": "p", "sku_code": "a",
    "amount_minor": 100, "currency": "USD", "valid_from": "2026-01-01T00:00:00Z"}}]');

select (crm.price_at(sku_id, null, null, now(), 'USD')).amount_minor from crm.sku where sku_code = 'a';

select crm.quote_prices('{a,none}', 's1', 'pos', now(), 'USD');

select crm.do_stock_move('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000f1", "b": {"type": "receipt", "store_code": "s1",
    "lines": [{"sku_code": "a", "quantity": 10}]}}]');

select crm.do_inventory_level('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000f2", "b": {"store_code": "s1", "sku_code": "b",
    "on_hand": 5, "source_version": 1}}]');

select crm.do_stock_transfer('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000f3", "b": {"transfer_no": "t", "from_store_code": "s1",
    "to_store_code": "x", "lines": [{"sku_code": "a", "quantity": 2}]}}]');

select crm.do_stock_transfer_receive('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000f4", "b": {"transfer_no": "t"}}]');

select crm.do_stock_reserve('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000f5", "b": {"store_code": "s1", "ttl_s": 900,
    "lines": [{"sku_code": "e", "quantity": 1}]}},
    {"i": 1, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000f6", "b": {"store_code": "s1", "ttl_s": 900,
    "lines": [{"sku_code": "b", "quantity": 1}]}}]');

select crm.do_stock_capture('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000f7", "b": {"reservation_id":
    "00000000-0000-0000-0000-0000000000f5"}}]');

select crm.do_stock_release('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000f8", "b": {"reservation_id":
    "00000000-0000-0000-0000-0000000000f6"}}]');

select crm.end_stock_reservations('[{"i": 0, "c": {"actor": "t"}, "id": "00000000-0000-0000-0000-0000000000f9", "b": {"reservation_id":
    "00000000-0000-0000-0000-0000000000f0"}}]', 'released');

select crm.reservation_status('00000000-0000-0000-0000-0000000000f5', now());

select crm.lock_reserved('{00000000-0000-0000-0000-0000000000f5}');

select crm.end_reservations('{00000000-0000-0000-0000-0000000000f5}', 'released');

select crm.expire_reservations(array(select level_id from crm.inventory_level), now()), crm.sweep_stock(now(), 10);

select crm.uncovered(a), crm.uncovered_fault(0, 0, 1)
from unnest(crm.ask_stock('[{"i": 0, "c": {}, "id": "00000000-0000-0000-0000-0000000000f0", "b": {"store_code": "s1",
    "lines": [{"sku_code": "a", "quantity": 1}]}}]', true)) a;

select crm.lock_levels(array[store_id], array[sku_id], array[false]), crm.tell_levels(store_id, array[sku_id]) from crm.inventory_level;

select crm.post_movements(array[(null, store_id, sku_id, 'adjustment', 1, gen_random_uuid(), null, null, null, null, false, null, null,
    now())::crm.inventory_movement]) from crm.inventory_level;

select crm.move_stock_of_orders(array(select order_id from crm.sales_order));

select crm.move_stock(array(select order_id from crm.sales_order), array(select return_id from crm.sales_return));
select crm.receive_delivery(jsonb_build_object('id', '00000000-0000-0000-0000-0000000000e' || n, 'source', 's', 'account', 'a', 'delivery_id',
    'd' || n, 'kind', 'k', 'entity_key', 'e', 'headers', '{}'::jsonb), '\x7b7d') from generate_series(1, 4) n;

select crm.receive_delivery('{"id": "00000000-0000-0000-0000-0000000000e9", "source": "s", "account": "a", "delivery_id": "d1", "headers": {}}', '\x7b7d');

select crm.lease_deliveries('{"lease": "00000000-0000-0000-0000-0000000000f1", "seconds": 30, "limit": 3}');

select crm.lease_deliveries('{"lease": "00000000-0000-0000-0000-0000000000f2", "seconds": 30, "limit": 3}');

select crm.settle_deliveries('[{"id": "00000000-0000-0000-0000-0000000000e1", "lease": "00000000-0000-0000-0000-0000000000f1", "status": "done", "lines": 1},
    {"id": "00000000-0000-0000-0000-0000000000e2", "lease": "00000000-0000-0000-0000-0000000000f1", "status": "dead", "code": "x.y", "reason": "z"}]');

select crm.release_deliveries('00000000-0000-0000-0000-0000000000f1', 1);

select crm.list_deliveries('{"status": "dead", "source": "s", "account": "a", "kind": "k", "code": "x.y", "delivery_id": "d2", "since": "2026-01-01T00:00:00Z",
    "until": "2126-01-01T00:00:00Z", "before": "ffffffff-ffff-ffff-ffff-ffffffffffff", "limit": 2}');

select crm.replay_delivery('{"id": "00000000-0000-0000-0000-0000000000e2", "actor": "t", "anew": true}', '\x7b7d'),
    crm.replay_delivery('{"id": "00000000-0000-0000-0000-0000000000ee", "actor": "t"}', null);

select crm.replay_deliveries('{"status": "done", "limit": 10, "actor": "t"}');

select crm.forget_deliveries(0, 0, 10), crm.inbox_standing();

select crm.open_import('{"id": "00000000-0000-0000-0000-0000000000d1", "actor": "t", "key": "k", "patience_s": 90}');

select crm.open_import('{"id": "00000000-0000-0000-0000-0000000000d2", "actor": "t", "key": "k", "patience_s": 90}');

select crm.add_import_chunk(jsonb_build_object('id', '00000000-0000-0000-0000-0000000000d1', 'chunk_no', n, 'first_line', n + 1, 'lines', 1), '\x0a')
from generate_series(0, 2) n;

select crm.close_import('{"id": "00000000-0000-0000-0000-0000000000d1", "lines": 3, "bytes": 3, "hash": "00"}');

select crm.lease_import('{"lease": "00000000-0000-0000-0000-0000000000d7", "seconds": 30}');

select crm.settle_chunk('{"id": "00000000-0000-0000-0000-0000000000d1", "chunk_no": 0, "position": "w-1",
    "failures": [{"line": 1, "status": 422, "code": "x.y", "detail": "z"}]}');

select crm.cancel_import('{"id": "00000000-0000-0000-0000-0000000000d1", "actor": "t"}');

select crm.release_import('00000000-0000-0000-0000-0000000000d1', '00000000-0000-0000-0000-0000000000d7');

select crm.lease_import('{"lease": "00000000-0000-0000-0000-0000000000d8", "seconds": 30}');

select crm.drop_import('00000000-0000-0000-0000-0000000000d1'), crm.forget_imports(0, 1);
select crm.is_personal('member');

select crm.masked('00000000-0000-0000-0000-000000000000');

select crm.outdated('store', '[{"i": 0, "if_version": 7, "b": {"store_code": "s1"}}]');

select crm.version_of('order', '{"source": "till", "order_no": "1"}');

create table crm.secret (value text); select crm.keep_personal('crm.secret');
