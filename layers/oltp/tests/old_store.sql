-- What a store of the first version of the schema holds: an order that came back whole, one that waits, and points whose ids are random.
insert into crm.store (store_id, store_code, name) values ('00000000-0000-7000-0000-000000000001', 's', 'S');
insert into crm.product (product_id, product_code, title) values ('00000000-0000-7000-0000-000000000002', 'p', 'P');
insert into crm.sku (sku_id, product_id, sku_code) values ('00000000-0000-7000-0000-000000000003', '00000000-0000-7000-0000-000000000002', 'k');
insert into crm.member (member_id, member_no, enrolled_at) values ('00000000-0000-7000-0000-000000000004', 'm', now());
insert into crm.points_account (account_id, kind, member_id) values
    ('00000000-0000-7000-0000-000000000005', 'member', '00000000-0000-7000-0000-000000000004');
insert into crm.sales_order (order_id, source, order_no, channel, member_id, business_date, placed_at, currency, status, units, gross_minor,
    discount_minor, tax_minor, net_minor, total_minor) values
    ('00000000-0000-7000-0000-000000000011', 'till', '1', 'pos', '00000000-0000-7000-0000-000000000004', '2026-03-02', '2026-03-02', 'USD',
        'paid', 1, 1000, 0, 0, 1000, 1000),
    ('00000000-0000-7000-0000-000000000012', 'till', '2', 'pos', null, '2026-03-02', '2026-03-02', 'USD', 'pending', 1, 1000, 0, 0, 1000, 1000);
insert into crm.order_line (order_line_id, order_id, line_no, member_id, sku_id, product_id, quantity, gross_minor, net_minor)
select o.order_id, o.order_id, 1, o.member_id, '00000000-0000-7000-0000-000000000003', '00000000-0000-7000-0000-000000000002', 1, 1000, 1000
from crm.sales_order o;
insert into crm.sales_return (return_id, source, return_no, order_id, member_id, business_date, returned_at, currency, units, net_minor) values
    ('00000000-0000-7000-0000-000000000021', 'till', 'r', '00000000-0000-7000-0000-000000000011', '00000000-0000-7000-0000-000000000004',
        '2026-03-03', '2026-03-03', 'USD', 1, 1000);
insert into crm.return_line (return_line_id, return_id, order_line_id, member_id, quantity, net_minor) values
    ('00000000-0000-7000-0000-000000000031', '00000000-0000-7000-0000-000000000021', '00000000-0000-7000-0000-000000000011',
        '00000000-0000-7000-0000-000000000004', 1, 1000);
insert into crm.points_ledger (entry_id, side, account_id, member_id, type, points, order_id, occurred_at)
select e.entry_id, s.side, case s.side when 1 then '00000000-0000-7000-8000-000000000001'::uuid else '00000000-0000-7000-0000-000000000005' end,
    case s.side when 2 then '00000000-0000-7000-0000-000000000004'::uuid end, e.type, case s.side when 1 then e.points else -e.points end,
    '00000000-0000-7000-0000-000000000011', '2026-03-02'
from (values ('0199a000-0000-7000-8000-000000000001'::uuid, 'earn', 10), ('f0000000-0000-4000-8000-000000000001', 'reverse', -10))
    e (entry_id, type, points)
cross join (values (1), (2)) s (side);
