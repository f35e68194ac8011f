select crm.drop_import($1::uuid)
