DELETE FROM sessions WHERE kind = 'personal_key';
DROP INDEX sessions_key_hash;
ALTER TABLE sessions DROP COLUMN key_hash;
ALTER TYPE session_kind RENAME TO session_kind_with_personal_key;
CREATE TYPE session_kind AS ENUM ('cookie', 'access_token', 'guest', 'issuer', 'server_key');
ALTER TABLE sessions ALTER COLUMN kind TYPE session_kind USING kind::text::session_kind;
DROP TYPE session_kind_with_personal_key;
