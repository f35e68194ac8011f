select crm.sweep_stock($1, $2)
