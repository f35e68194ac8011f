select crm.quote_prices($1, $2, $3, $4, $5)
