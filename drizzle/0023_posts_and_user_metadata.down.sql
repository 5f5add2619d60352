DROP INDEX messages_key_client_id;
ALTER TABLE messages DROP COLUMN server_key_id, DROP COLUMN agent_name;
ALTER TABLE users DROP COLUMN metadata;
