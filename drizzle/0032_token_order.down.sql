ALTER TABLE external_users DROP COLUMN issued_at;
