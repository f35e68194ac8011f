select crm.release_import($1::uuid, $2::uuid)
