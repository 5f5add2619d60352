DROP TABLE admin_log, invitations, reply_costs;
DROP FUNCTION refuse_change;
DROP INDEX one_time_tokens_address;
ALTER TABLE users DROP COLUMN locked_at, DROP COLUMN budget_tokens, DROP COLUMN api_key_hash;
