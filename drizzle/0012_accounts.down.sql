DROP FUNCTION stop_replies_to;
DELETE FROM one_time_tokens WHERE user_id IS NULL;
ALTER TABLE one_time_tokens ALTER COLUMN user_id SET NOT NULL;
