DELETE FROM sessions WHERE server_key_id IS NOT NULL;
ALTER TYPE session_kind RENAME TO session_kind_with_server_key;
CREATE TYPE session_kind AS ENUM ('cookie', 'access_token', 'guest', 'issuer');
ALTER TABLE sessions ALTER COLUMN kind TYPE session_kind USING kind::text::session_kind;
DROP TYPE session_kind_with_server_key;
ALTER TABLE sessions DROP COLUMN server_key_id;
DROP TABLE server_keys;
