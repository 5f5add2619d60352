DELETE FROM sessions WHERE kind = 'issuer';
ALTER TYPE session_kind RENAME TO session_kind_with_issuer;
CREATE TYPE session_kind AS ENUM ('cookie', 'access_token', 'guest');
ALTER TABLE sessions ALTER COLUMN kind TYPE session_kind USING kind::text::session_kind;
DROP TYPE session_kind_with_issuer;
DROP TABLE external_sessions, external_users;
ALTER TABLE users DROP COLUMN picture;
