\set member random(1, 1000)
\set sku random(0, 99)
select crm.run(jsonb_build_object('waves', jsonb_build_array(jsonb_build_object('kind', 'order', 'items', jsonb_build_array(jsonb_build_object(
    'i', 0, 'c', '{"actor": "bench", "request": "bench"}'::jsonb, 'id', crm.uuid7(), 'b', jsonb_build_object(
        'source', 'bench', 'order_no', gen_random_uuid(), 'channel', 'pos', 'store_code', 'bench', 'member_no', 'bench-' || :member,
        'placed_at', now(), 'currency', 'USD', 'status', 'paid', 'units', 3, 'gross', 3000, 'discount', 0, 'tax', 0,
        'shipping', 0, 'net', 3000, 'total', 3000, 'paid', 3000, 'event', crm.uuid7(), 'coupon_codes', '[]'::jsonb,
        'lines', (select jsonb_agg(jsonb_build_object('id', crm.uuid7(), 'n', n, 'sku', 'bench-' || (:sku * 3 + n), 'q', 1,
            'price', 1000, 'gross', 1000, 'discount', 0, 'tax', 0, 'void', false)) from generate_series(1, 3) n),
        'payments', jsonb_build_array(jsonb_build_object('id', crm.uuid7(), 'n', 1, 'tender', 'card', 'amount', 3000,
            'status', 'captured')))))))));
