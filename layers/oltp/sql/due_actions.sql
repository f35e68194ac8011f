select crm.due_actions($1::jsonb)
