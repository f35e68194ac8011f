select crm.guardrail_facts($1::jsonb)
