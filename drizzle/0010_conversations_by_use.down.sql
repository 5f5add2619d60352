DROP TRIGGER move_used_in ON conversations;
DROP TRIGGER set_used_in ON conversation_users;
DROP FUNCTION move_used_in, set_used_in;
DROP INDEX conversation_users_used;
ALTER TABLE conversation_users DROP COLUMN used_in;
CREATE INDEX conversation_users_user ON conversation_users (user_id);
