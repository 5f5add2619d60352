CREATE OR REPLACE FUNCTION begin_conversation (in_owner bigint, in_origin origin, in_name text, in_bot bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  conversation bigint;
BEGIN
  UPDATE conversations SET is_finished = true
  WHERE owner_id = in_owner AND origin = in_origin AND NOT is_finished AND is_conversation_over(origin, last_updated);
  INSERT INTO conversations (owner_id, origin, name) VALUES (in_owner, in_origin, in_name)
  ON CONFLICT DO NOTHING
  RETURNING id INTO conversation;
  IF FOUND THEN
    INSERT INTO conversation_users (conversation_id, user_id) VALUES (conversation, in_owner);
    INSERT INTO conversation_bots (conversation_id, chatbot_id) VALUES (conversation, in_bot);
  END IF;
  RETURN conversation;
END $$;
DROP FUNCTION begin_conversations;
