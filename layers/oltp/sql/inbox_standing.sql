select crm.inbox_standing()
