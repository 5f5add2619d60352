CREATE OR REPLACE FUNCTION begin_conversation (in_owner bigint, in_origin origin, in_name text, in_bot bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  conversation bigint;
BEGIN
  INSERT INTO conversations (owner_id, origin, name) VALUES (in_owner, in_origin, in_name)
  ON CONFLICT DO NOTHING
  RETURNING id INTO conversation;
  IF FOUND THEN
    INSERT INTO conversation_users (conversation_id, user_id) VALUES (conversation, in_owner);
    INSERT INTO conversation_bots (conversation_id, chatbot_id) VALUES (conversation, in_bot);
  END IF;
  RETURN conversation;
END $$;
DROP FUNCTION take_turn;
DROP TABLE turns, whatsapp_contacts;
DROP INDEX whatsapp_deliveries_contact, whatsapp_deliveries_queued, whatsapp_inbox_waiting, whatsapp_inbox_statuses;
ALTER TABLE whatsapp_deliveries DROP COLUMN error_code, DROP COLUMN queued_at, DROP COLUMN try_at, DROP COLUMN attempted_at, DROP COLUMN doubted_at;
ALTER TABLE whatsapp_inbox DROP COLUMN kind, DROP COLUMN sent_at, DROP COLUMN together_with;
DROP TYPE inbox_kind;
CREATE INDEX whatsapp_deliveries_contact ON whatsapp_deliveries (contact, created_at);
CREATE INDEX whatsapp_inbox_waiting ON whatsapp_inbox (contact, id) WHERE handled_at IS NULL;
