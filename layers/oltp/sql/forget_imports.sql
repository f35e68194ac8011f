select crm.forget_imports($1::int, $2::int)
